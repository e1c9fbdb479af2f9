"""Estimate a study, or the union of several: GPU-hours, disk and files per stage, as ranges.

    cost = study_cost([plan])
    cost.stages, cost.gpu_hours, cost.arrays     # arrays: what the simulation schedules

A run that several plans have counts once, in the first. The plans are without what is done.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hpc_xfer.study.cost_estimate import RunCosts, Speed
from hpc_xfer.study.costs.count_costs import CostCounter
from hpc_xfer.study.costs.gpu_rates import ASSUMED_CARD
from hpc_xfer.study.costs.ranges import NOTHING, Range, exactly
from hpc_xfer.study.costs.stages import ArrayCost, FinishedTimes, Stage
from hpc_xfer.study.costs.training_speed import TrainingSpeed, speed_of_card
from hpc_xfer.study.disk import disk_use
from hpc_xfer.study.disk.cache_use import CacheUse
from hpc_xfer.study.plan import Plan


@dataclass(frozen=True)
class StudyCost:
    """The estimate. Times are those of GPUs that work; docs/cost.md says what is not in them."""

    stages: tuple[Stage, ...]
    arrays: tuple[ArrayCost, ...]
    rests_on: str
    plans: tuple[Plan, ...]  # whole

    @property
    def runs(self) -> int:
        return sum(stage.runs for stage in self.stages if stage.has_runs)

    @property
    def unit(self) -> str:
        """The unit of hours: a GPU, or a process on CPUs."""
        costs = self.plans[0].costs if self.plans else None
        return "GPU" if costs is None or costs.speed.has_gpu else "CPU"

    @property
    def gpu_hours(self) -> Range:
        return _sum(stage.gpu_hours for stage in self.stages)

    @property
    def files(self) -> Range:
        return _sum(stage.files for stage in self.stages)

    @property
    def disk(self) -> Range:
        """Bytes that stay."""
        return _sum(stage.disk for stage in self.stages)

    @property
    def cache(self) -> Range:
        """Bytes of the cache, which are a part of `disk` and may be deleted between runs."""
        return _sum(stage.disk for stage in self.stages if stage.kind == "cache")

    @property
    def largest_job(self) -> int:
        """The GPUs of the largest job."""
        return max((stage.gpus for stage in self.stages if stage.has_runs), default=1)

    def peak_disk(self, gpus: int) -> Range:
        """Bytes at the peak: what stays, and the checkpoints of the runs that work at once.

        Args:
            gpus: that the study has.
        """
        working = [stage for stage in self.stages if stage.has_runs]
        working.sort(key=lambda stage: stage.checkpoints / stage.gpus, reverse=True)
        at_once, free = 0.0, gpus
        for stage in working:
            taken = min(free, stage.runs * stage.gpus)
            at_once += taken * stage.checkpoints / stage.gpus
            free -= taken
        largest = max((stage.checkpoints for stage in working), default=0.0)
        return self.disk + Range(min(largest, at_once), at_once)

    @property
    def disk_is_known(self) -> bool:
        return all(stage.disk_is_known for stage in self.stages)


def study_cost(
    plans: Sequence[Plan],
    speed: TrainingSpeed | None = None,
    finished: FinishedTimes | None = None,
    whole: Sequence[Plan] = (),
) -> StudyCost:
    """Estimate the union of plans.

    Args:
        plans: of the runs that are still to do.
        speed: of the GPUs; None for what the first plan was made for.
        finished: what finished runs of these plans took.
        whole: the same plans with all runs, if some are done or left out.
    """
    costs = next((plan.costs for plan in plans if plan.costs is not None), None) or RunCosts(
        {}, Speed(1e13)
    )
    speed = speed or costs.training or speed_of_card(ASSUMED_CARD, " assumed")
    counter = CostCounter(speed, finished or FinishedTimes())
    for number, plan in enumerate(_without_repeats(plans)):
        counter.add(number, plan, plan.costs or costs)
    stages = [*counter.ordered(), *_cache_stage(counter.cache)]
    stages += _relay_stage(len(plans), counter.arrays)
    return StudyCost(
        tuple(stages), tuple(counter.arrays), counter.rests_on(), tuple(whole or plans)
    )


def _cache_stage(cache: CacheUse) -> Iterator[Stage]:
    """Yield what decoded images and features take, until somebody deletes them."""
    if cache.files:
        disk, files = exactly(float(cache.bytes)), exactly(float(cache.files))
        yield Stage("cache: images, features", "cache", disk=disk, files=files, gpus=0)


def _relay_stage(studies: int, arrays: Sequence[ArrayCost]) -> Iterator[Stage]:
    """Yield what a study leaves beside its runs: manifests, logs, code, tables and figures."""
    if arrays:
        elements = sum(len(each.seconds) for each in arrays)
        files = disk_use.STUDY_FILES.scaled(studies) + disk_use.ARRAY_FILES.scaled(len(arrays))
        files += disk_use.ELEMENT_FILES.scaled(elements) + disk_use.STORE_FILES
        disk = disk_use.STUDY_BYTES.scaled(studies) + disk_use.LOG_BYTES.scaled(elements)
        disk += disk_use.STORE_BYTES
        yield Stage("relay, logs, report", "relay", studies, disk=disk, files=files, gpus=0)


def _without_repeats(plans: Sequence[Plan]) -> Iterator[Plan]:
    """Yield each plan without the runs of those before."""
    seen: set[str] = set()
    for plan in plans:
        ids = {run.id for run in plan.runs} if len(plans) > 1 else set()
        yield plan.without(seen & ids) if seen & ids else plan
        seen |= ids


def _sum(ranges: Iterable[Range]) -> Range:
    return sum(ranges, NOTHING)
