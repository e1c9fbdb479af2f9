"""Measure samples per second of any training from outside.

rate, weights = measured(lambda: main(arguments), batch=64, steps=24)

Any trainer of PyTorch ends a step with its optimizer's, so that is where the clock stands. Between
two of them lies all that a step costs: waiting for data, forward, backward, logging.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

_WARM = 4  # steps before the clock: memory is allocated, kernels are chosen, loaders start


@contextlib.contextmanager
def steps_noted(path: Path) -> Iterator[None]:
    """Append a byte to a file at each step; the file outlives the process."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        os.write(handle, b".")

    noted = register_optimizer_step_post_hook(note)
    try:
        yield
    finally:
        noted.remove()
        os.close(handle)


def measured(train: Callable[[], object], batch: int, steps: int) -> dict[str, float]:
    """Return `rate` in samples/s, and `weights`, the count of numbers that the optimizer updates.

    Raises:
        RuntimeError: the training made another number of steps.
    """
    times: list[float] = []
    weights = 0

    def note(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal weights
        weights = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        if torch.cuda.is_available() and len(times) in (_WARM, steps - 1):
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    handle = register_optimizer_step_post_hook(note)
    try:
        train()
    finally:
        handle.remove()
    if len(times) != steps:
        raise RuntimeError(f"{len(times)} steps were made, not {steps}")
    return {"rate": batch * (steps - 1 - _WARM) / (times[-1] - times[_WARM]), "weights": weights}
