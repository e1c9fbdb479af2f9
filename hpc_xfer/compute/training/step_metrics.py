"""What a logged row tells: loss and learning rate, speed, waiting, memory.

    gauges = Gauges(objective, pace, world, habits.flops_per_sample, first)
    gauges.read(step, loss, result, waited)     # since the last reading

Read at logged steps only: values on a GPU make the host wait for it.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import flops
from hpc_xfer.compute.training.optimizer import learning_rate
from hpc_xfer.compute.training.step import Schedule, StepResult

_GIB = 1 << 30


@dataclass
class StepMetrics:
    """Speeds are those since the last reading; of this rank where not said otherwise."""

    objective: nn.Module
    pace: Schedule
    world: World
    flops_per_sample: float | None  # forward and backward, see flops.py
    step: int  # of the last reading
    waited: float = 0.0  # seconds for data, by the last reading
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.world.device.type == "cuda":  # a process goes through many runs
            torch.cuda.reset_peak_memory_stats(self.world.device)

    def read(
        self, step: int, loss: float, result: StepResult, waited: float
    ) -> dict[str, float | None]:
        """One row by name; None is what this machine or method has not.

        Args:
            waited: seconds for data since the beginning, of the slowest rank at each step.
        """
        now = time.monotonic()
        seconds = max(now - self.began, 1e-9)
        rate = (step - self.step) * self.pace.batch / seconds
        per_gpu = rate / self.world.size
        row = {
            "loss": loss,
            "lr": self._lr(step),
            "gradient_norm": _finite(float(result.gradient_norm)),
            "logit_scale": self._logit_scale(),
            "samples_per_second": rate,
            "samples_per_second_per_gpu": per_gpu,
            "data_wait": min((waited - self.waited) / seconds, 1.0),
            "gpu_memory_gib": self._memory(),
            **self._utilisation(per_gpu),
        }
        self.step, self.waited, self.began = step, waited, now
        return row

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done meanwhile does not count as training."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.began += time.monotonic() - begun

    def _lr(self, step: int) -> float:
        pace = self.pace
        return learning_rate(step - 1, pace.steps, pace.warmup_steps, pace.lr)

    def _logit_scale(self) -> float | None:
        scale = getattr(self.objective, "logit_scale", None)
        return None if scale is None else float(scale.detach().exp())

    def _memory(self) -> float | None:
        """The most that tensors took since the beginning."""
        if self.world.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.world.device) / _GIB

    def _utilisation(self, samples_per_second: float) -> dict[str, float | None]:
        if self.flops_per_sample is None:
            return {}
        done = samples_per_second * self.flops_per_sample
        possible = None
        if self.world.device.type == "cuda":
            card = torch.cuda.get_device_name(self.world.device)
            possible = flops.peak(card, self.pace.precision)
        return {"model_tflops": done / 1e12, "mfu": done / possible if possible else None}


def _finite(value: float) -> float | None:
    """Of a step that was left out (fp16), the norm is infinite, which is no JSON."""
    return value if math.isfinite(value) else None
