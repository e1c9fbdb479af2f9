"""Find how long a study takes on so many GPUs: the simulation at both ends of its costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpc_xfer.config.site import Slurm
from hpc_xfer.study.costs.ranges import Range, exactly
from hpc_xfer.study.costs.study_cost import StudyCost
from hpc_xfer.study.schedule.array_jobs import arrays_to_simulate
from hpc_xfer.study.schedule.cluster import SimulatedCluster, limited_by
from hpc_xfer.study.schedule.simulation import simulate
from hpc_xfer.study.schedule.timeline import Timeline

# The relay reads the records, writes tables and figures; assumed, per run of the study.
_RELAY = Range(15.0, 60.0)
_RELAY_PER_RUN = Range(0.0005, 0.005)


@dataclass(frozen=True)
class FinishingTime:
    """A study on so many GPUs: the simulation of the low and of the high end."""

    gpus: int
    low: Timeline
    high: Timeline

    @property
    def seconds(self) -> Range:
        return _range(self.low.finished, self.high.finished)

    def seconds_of(self, kind: str) -> Range | None:
        """Seconds until the last run of a kind ends; None where there is none."""
        ends = [line.stage_ends.get(kind) for line in (self.low, self.high)]
        return None if ends[0] is None or ends[1] is None else _range(ends[0], ends[1])

    @property
    def gpu_hours(self) -> Range:
        """GPU-hours that Slurm counts: work, starts, and what preemption lost."""
        return _range(self.low.gpu_seconds / 3600, self.high.gpu_seconds / 3600)

    @property
    def share_busy(self) -> Range:
        """The share of the GPUs that works, on average."""
        shares = [
            line.gpu_seconds / (self.gpus * line.finished) if line.finished else 0.0
            for line in (self.low, self.high)
        ]
        return _range(*shares)


def finishing_times(
    cost: StudyCost, slurm: Slurm, gpus: Sequence[int], cluster: SimulatedCluster
) -> list[FinishingTime]:
    """Simulate the study on each number of GPUs.

    Args:
        cluster: its latencies, limits, preemption and seed; lower limits of the site count.

    Raises:
        StudyError: as `simulate`.
    """
    relay = _RELAY + _RELAY_PER_RUN.scaled(cost.runs)
    here = replace(
        limited_by(cluster, slurm), relay_seconds=relay, signal_seconds=float(slurm.signal_seconds)
    )
    low, high = (
        arrays_to_simulate(cost.arrays, cost.plans, end, max_minutes=slurm.max_minutes)
        for end in (_low, _high)
    )
    return [
        FinishingTime(
            number,
            simulate(low, replace(here, gpus=number, relay_seconds=exactly(relay.low))),
            simulate(high, replace(here, gpus=number, relay_seconds=exactly(relay.high))),
        )
        for number in gpus
    ]


def _low(seconds: Range) -> float:
    return seconds.low


def _high(seconds: Range) -> float:
    return seconds.high


def _range(one: float, other: float) -> Range:
    """Make a range of two ends in order: chance may end the slow simulation first."""
    return Range(min(one, other), max(one, other))
