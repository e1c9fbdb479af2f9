"""The result of a simulation: when it ended, and how many GPUs worked when."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timeline:
    """Seconds since the launch."""

    finished: float  # with the last relay: tables and report are there
    stage_ends: Mapping[str, float]
    busy: tuple[tuple[float, int], ...]  # from this second on, so many GPUs work
    preempted: int = 0
    requeued: int = 0  # after a time limit

    @property
    def worked(self) -> float:
        """Seconds until the last run had its record."""
        return max(self.stage_ends.values(), default=0.0)

    @property
    def gpu_seconds(self) -> float:
        """GPUs times seconds that they were taken, lost work and starts included."""
        ends = [*(time for time, _ in self.busy[1:]), self.finished]
        return sum(gpus * (end - start) for (start, gpus), end in zip(self.busy, ends, strict=True))

    def mean_busy(self, parts: int = 10) -> list[float]:
        """Mean number of busy GPUs in each of so many equal parts of the time."""
        width, means = self.finished / parts, [0.0] * parts
        if not width:
            return means
        ends = [*(time for time, _ in self.busy[1:]), self.finished]
        for (start, gpus), end in zip(self.busy, ends, strict=True):
            for part in range(int(start / width), min(parts, int(end / width) + 1)):
                inside = min(end, (part + 1) * width) - max(start, part * width)
                means[part] += gpus * max(0.0, inside) / width
        return means
