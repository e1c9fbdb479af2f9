"""Make a GPU fail, and tell the class of the failure and whether the process can go on."""

from typing import Any

import torch

from benchmarks.gpu import our_step
from benchmarks.gpu.our_step import OurStep
from benchmarks.gpu.setting import Setting
from hpc_xfer.compute.failure_classes import classify

_SHARE = 0.02  # of the card's memory, which then is too small for the step
NEEDS_GPU = "needs a GPU"


def out_of_memory(setting: Setting) -> dict[str, Any]:
    """Take a step that does not fit, then one that does."""
    if not setting.on_gpu:
        return {"found": NEEDS_GPU}
    large = our_step.recipe(setting, "clip", "RN50", setting.batch(256), "fp32")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(_SHARE)
    try:
        OurStep(setting, large, "RN50").run(1)
        kind = "none: it fitted"
    except Exception as error:  # whatever it is, its class is the figure
        kind = classify(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    small = our_step.recipe(setting, "clip", "RN50", setting.batch(32), "bf16")
    OurStep(setting, small, "RN50").run(2)
    torch.cuda.synchronize()
    return {"found": f"class {kind!r}; the next run works"}


def device_assert(setting: Setting) -> dict[str, Any]:
    """Index out of bounds on the device; no CUDA call of the process works from then on."""
    if not setting.on_gpu:
        return {"found": NEEDS_GPU}
    kinds = []
    for work in (_out_of_bounds, _sum):
        try:
            work(setting.device)
            kinds.append("none")
        except Exception as error:  # whatever it is, its class is the figure
            kinds.append(classify(error))
    return {"found": f"class {kinds[0]!r}; the next operation: {kinds[1]!r}", "spent": True}


def _out_of_bounds(device: torch.device) -> None:
    torch.zeros(4, device=device)[torch.tensor([9], device=device)].cpu()


def _sum(device: torch.device) -> None:
    torch.ones(2, device=device).sum().item()
