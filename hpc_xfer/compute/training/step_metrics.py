"""Values of a logged step: loss, learning rate, speed, waiting time, memory.

    metrics = StepMetrics(objective, schedule, world, options.flops_per_sample, first)
    metrics.read(step, loss, result, waited)     # speeds since the last call

Call it at logged steps only: to read a value from a GPU, the host waits for it.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import flops
from hpc_xfer.compute.training.optimizer import learning_rate
from hpc_xfer.compute.training.step import Schedule, StepResult

_GIB = 1 << 30


@dataclass
class StepMetrics:
    """Measure a run between two readings; values are of this rank where not said otherwise."""

    objective: nn.Module
    schedule: Schedule
    world: World
    flops_per_sample: float | None  # forward and backward, see flops.py
    step: int  # at the last reading
    waited: float = 0.0  # seconds for data, up to the last reading
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.world.device.type == "cuda":  # a process executes many runs
            torch.cuda.reset_peak_memory_stats(self.world.device)

    def read(
        self, step: int, loss: float, result: StepResult, waited: float
    ) -> dict[str, float | None]:
        """One row of metrics; a value that this machine or method does not have is None.

        Args:
            waited: seconds for data since the start, at each step those of the slowest rank.
        """
        now = time.monotonic()
        seconds = max(now - self.began, 1e-9)
        rate = (step - self.step) * self.schedule.batch / seconds
        per_gpu = rate / self.world.size
        row = {
            "loss": loss,
            "lr": self._lr(step),
            "gradient_norm": _finite(float(result.gradient_norm)),
            "logit_scale": self._value("logit_scale", torch.exp),
            "logit_bias": self._value("logit_bias"),
            "samples_per_second": rate,
            "samples_per_second_per_gpu": per_gpu,
            "data_wait": min((waited - self.waited) / seconds, 1.0),
            "gpu_memory_gib": self._memory(),
            **self._utilization(per_gpu),
        }
        self.step, self.waited, self.began = step, waited, now
        return row

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out of the speeds."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.began += time.monotonic() - begun

    def _lr(self, step: int) -> float:
        schedule = self.schedule
        return learning_rate(step - 1, schedule.steps, schedule.warmup_steps, schedule.lr)

    def _value(self, name: str, of: Callable[[Tensor], Tensor] = torch.clone) -> float | None:
        """A learned number of the objective; None where it has none."""
        value = getattr(self.objective, name, None)
        return None if value is None else float(of(value.detach()))

    def _memory(self) -> float | None:
        """Peak memory of tensors since the start of the run, in GiB."""
        if self.world.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.world.device) / _GIB

    def _utilization(self, samples_per_second: float) -> dict[str, float | None]:
        if self.flops_per_sample is None:
            return {}
        done = samples_per_second * self.flops_per_sample
        possible = None
        if self.world.device.type == "cuda":
            card = torch.cuda.get_device_name(self.world.device)
            possible = flops.peak(card, self.schedule.precision)
        return {"model_tflops": done / 1e12, "mfu": done / possible if possible else None}


def _finite(value: float) -> float | None:
    """None for NaN and infinity, which JSON does not have: the norm of a skipped fp16 step."""
    return value if math.isfinite(value) else None
