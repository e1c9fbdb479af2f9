"""Judge the GPUs of a node: their number, driver, architecture, and what one of them computes."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hpc_xfer.config.resources import spread_over_nodes
from hpc_xfer.scheduling.checks.check_result import CheckResult
from hpc_xfer.store.launched_study import LaunchedStudy

_MPS = {
    True: "runs on the node: fine-tunings that share a GPU work at the same moment",
    False: "does not run on the node: fine-tunings that share a GPU (per_gpu) take turns",
}
# CUDA of a torch -> oldest driver for Linux that runs it (CUDA's release notes, table of minor
# version compatibility). A driver also runs programs of all older CUDAs.
_OLDEST_DRIVERS = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580,)}
_OTHER_TORCH = "install a torch for this GPU and driver (docs/installation.md)"
_LARGEST_ERROR = 0.01  # relative; rounding to bf16 gives 0.002


def gpu_verdicts(
    launched: LaunchedStudy, kind: str, tasks: int, found: dict[str, Any]
) -> Iterator[CheckResult]:
    """Yield verdicts on the GPUs that a check of `tasks` processes found."""
    slurm = launched.site.slurm
    if slurm.gpu_option == "none":
        return
    names, missing = found["gpus"], found["gpu_missing"]
    advice = "choose another `gpu_option` in the site file, or ask who runs this node"
    if found["device"] == "cpu" and not missing:
        yield CheckResult(f"{kind} GPUs", True, "none is used: HPC_XFER_DEVICE is cpu", "")
    else:
        _, per_node = spread_over_nodes(tasks, slurm.gpus_per_node)
        visible = f"{len(names)} visible to a process" + (f": {names[0]}" if names else "")
        enough = not missing and len(names) >= per_node
        yield CheckResult(f"{kind} GPUs", enough, missing or visible, advice)
        yield from _software(kind, found["gpu"])
        yield from _convolution(f"{kind} convolution", found["gpu"].get("convolution"))
    if kind == "finetune" and launched.study.resources.finetune.per_gpu > 1:
        yield CheckResult("finetune MPS", True, _MPS[found["mps"]], "")


def _software(kind: str, gpu: dict[str, Any]) -> Iterator[CheckResult]:
    """Compare the driver and the architecture of a GPU with what its torch was built for."""
    cuda, driver = gpu["cuda"], gpu["driver"]
    if cuda is None:  # ROCm, or a torch without GPUs
        return
    torch_words = f"torch {gpu['torch']} (CUDA {cuda})"
    oldest = oldest_driver(cuda)
    if driver is not None and oldest is not None:
        least = ".".join(map(str, oldest))
        yield CheckResult(
            f"{kind} driver", _numbers(driver) >= oldest,
            f"{driver}; {torch_words} needs {least} or newer",
            f"ask for a newer driver, or {_OTHER_TORCH}",
        )  # fmt: skip
    if (capability := gpu["capability"]) is not None:
        major, minor = capability
        yield CheckResult(
            f"{kind} architecture", is_built_for((major, minor), gpu["built_for"]),
            f"compute capability {major}.{minor}; torch is built for {' '.join(gpu['built_for'])}",
            f"ask for other GPUs (`gpu_type` in the site file), or {_OTHER_TORCH}",
        )  # fmt: skip


def _convolution(what: str, told: dict[str, Any] | None) -> Iterator[CheckResult]:
    if told is None:
        return
    if error := told.get("error"):
        yield CheckResult(what, False, f"failed: {error}", _OTHER_TORCH)
        return
    distance = told["distance"]
    speed = f"{told['teraflops']:,.0f} TFLOP/s in {told['dtype']}"
    message = f"{speed}, {100 * distance:.2g}% from the result of the CPU"
    advice = (
        "this GPU computes wrong numbers: report its node, and leave it out with "
        "`exclude: [NODE]` in the site file"
    )
    yield CheckResult(what, distance < _LARGEST_ERROR, message, advice)


def oldest_driver(cuda: str) -> tuple[int, ...] | None:
    """Return the oldest driver for a version of CUDA such as `12.8`; None where unknown."""
    return _OLDEST_DRIVERS.get(_numbers(cuda)[0])


def is_built_for(capability: tuple[int, int], built_for: Sequence[str]) -> bool:
    """Tell whether code for these architectures runs on a GPU.

    Code of `sm_86` runs on the same major version from that minor version on, code of `compute_90`
    (PTX) on all later GPUs, code of `sm_90a` on that GPU alone.
    """
    return any(_runs_on(capability, each) for each in built_for)


def _runs_on(capability: tuple[int, int], built_for: str) -> bool:
    parsed = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", built_for)
    if parsed is None:
        return False
    kind, major, minor, only = parsed[1], int(parsed[2]), int(parsed[3]), parsed[4]
    if only == "a":
        return capability == (major, minor)
    if kind == "compute" and not only:
        return capability >= (major, minor)
    return capability[0] == major and capability[1] >= minor


def _numbers(version: str) -> tuple[int, ...]:
    """535.104.05 -> (535, 104, 5)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
