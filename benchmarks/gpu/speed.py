"""Measure steps: images per second, share of the peak, the host's time, memory."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import torch

from benchmarks.gpu import our_step
from benchmarks.gpu.open_clip_step import OpenClipStep
from benchmarks.gpu.our_step import OurStep
from benchmarks.gpu.setting import Setting, arithmetic
from benchmarks.harness.interleave import in_turn
from hpc_xfer.compute.models import flops

_WARM = 4  # steps before the clock: memory is allocated, kernels are chosen
_STEPS = 8  # of a turn
_ROUNDS = 3
_FEW = 4  # images with which the GPU is done before the host


class Steps(Protocol):
    """A training that takes so many steps."""

    def run(self, steps: int) -> None: ...


def step(
    setting: Setting,
    method: str,
    arch: str,
    batch: int,
    precision: str,
    accumulate: int = 1,
    peer: bool = False,
    **how: bool,
) -> dict[str, Any]:
    """Measure our step, and open_clip's in turn with it if `peer`."""
    batch = setting.batch(batch)
    made = our_step.recipe(setting, method, arch, batch, precision, accumulate)
    rounds, steps = (1, 1) if setting.tiny else (_ROUNDS, _STEPS)
    with arithmetic(tf32=precision != "fp32"):  # a step of ours sets its own
        ours = OurStep(setting, made, arch, **how)
        _reset_peak(setting)
        ours.run(1 if setting.tiny else _WARM)
        setting.synchronize()
        gib = torch.cuda.max_memory_allocated() / 2**30 if setting.on_gpu else None
        sides: list[Steps] = [ours]
        if peer:
            theirs = OpenClipStep(setting, arch, batch, precision, accumulate, **how)
            theirs.run(1 if setting.tiny else _WARM)
            sides.append(theirs)
        seconds = in_turn(rounds, *(_turn(setting, side, steps) for side in sides))
        del sides, ours
    host_ms = _host_ms(setting, method, arch, precision, accumulate, tuple(how.items()))
    rates = [batch / each for each in seconds]
    flop = rates[0] * our_step.flops_per_image(setting, method, arch)
    peak = flops.peak(torch.cuda.get_device_name(), precision) if setting.on_gpu else None
    return {
        "rate": rates[0],
        "tflops": flop / 1e12,
        "mfu": flop / peak if peak else None,
        "step_ms": 1e3 * seconds[0],
        "host_ms": host_ms,
        "gib": gib,
        "peer": rates[1] if peer else None,
    }


def _turn(setting: Setting, side: Steps, steps: int) -> Callable[[], float]:
    """Seconds of a step, from an idle GPU to an idle GPU."""

    def seconds() -> float:
        setting.synchronize()
        begun = time.perf_counter()
        side.run(steps)
        setting.synchronize()
        return (time.perf_counter() - begun) / steps

    return seconds


@lru_cache(maxsize=64)
def _host_ms(
    setting: Setting, method: str, arch: str, precision: str, parts: int, how: tuple[Any, ...]
) -> float | None:
    """Milliseconds that the host needs for a step; None where that would compile once more."""
    if dict(how).get("compiled"):
        return None
    made = our_step.recipe(setting, method, arch, _FEW * parts, precision, parts)
    few = OurStep(setting, made, arch, **dict(how))
    few.run(1 if setting.tiny else _WARM)
    return 1e3 * _turn(setting, few, 1 if setting.tiny else _STEPS)()


def _reset_peak(setting: Setting) -> None:
    if setting.on_gpu:
        torch.cuda.reset_peak_memory_stats()
