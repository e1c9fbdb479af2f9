"""Find kinds of runs that a grid gives fewer minutes than they take.

for line in given_minutes_notes(plan, site.slurm, finished_times(plan, store)):
    print(line)

What finished runs of a kind took counts; the low end of the estimate where there are none.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Trained, arch_name
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.cost_estimate import RunCosts, cost_kind
from hpc_xfer.study.costs.count_costs import pretrain_kind
from hpc_xfer.study.costs.finetune_time import FinetuneTimes
from hpc_xfer.study.costs.gpu_rates import card_of
from hpc_xfer.study.costs.pretrain_time import pretrain_seconds
from hpc_xfer.study.costs.stages import FinishedTimes
from hpc_xfer.study.costs.training_speed import TrainingSpeed, speed_of_card
from hpc_xfer.study.plan import Plan, RunKind, parent_recipe
from hpc_xfer.system.terminal import counted

_FASTEST = "h200"  # of the cards in gpu_rates.py


@dataclass(frozen=True)
class _Short:
    """A kind of run, the minutes that the grid gives it, and those that it takes."""

    what: str
    given: float
    least: float
    takes: str  # how it is known, with {} for the minutes

    @property
    def factor(self) -> float:
        return self.least / self.given

    @property
    def sentence(self) -> str:
        least = f"{math.ceil(self.least):,}"
        return f"{self.given:g} minutes to {self.what}, which {self.takes.format(least)}"


@dataclass(frozen=True)
class _Estimate:
    """Times by records, else by the estimate; None where nobody knows the CPUs beside a GPU."""

    costs: RunCosts
    speed: TrainingSpeed | None
    finished: FinishedTimes

    @property
    def takes(self) -> str:
        assert self.speed is not None
        on = self.speed.rests_on.removeprefix("FLOPs, ")
        if self.costs.speed.has_gpu:
            on += f" with {counted(self.costs.speed.cores, 'CPU')}"
        return f"takes {{}} or more by the estimate for {on}"


def given_minutes_notes(
    plan: Plan, slurm: Slurm, finished: FinishedTimes | None = None
) -> Iterator[str]:
    """Say of pre-trainings, then of fine-tunings, which kind is furthest short; see docs/cost.md.

    A card that the site does not name may be any, so the fastest is assumed. Of kinds without
    finished runs nothing is said where nobody knows the CPUs beside a GPU, which decide how fast
    images are loaded.
    """
    costs = plan.costs
    if costs is None or costs.training is None:
        return
    speed: TrainingSpeed | None = costs.training
    if costs.speed.has_gpu and slurm.teraflops is None:
        card = card_of(slurm.gpu_type, slurm.gpu_memory) or card_of(_FASTEST)
        assert card is not None
        speed = speed_of_card(card)
    if costs.speed.has_gpu and slurm.cpus_per_gpu is None:
        speed = None
    estimate = _Estimate(costs, speed, finished or FinishedTimes())
    yield from _sentence("pretrain", _short_pretrains(plan, estimate))
    yield from _sentence("finetune", _short_finetunes(plan, estimate))


def _short_pretrains(plan: Plan, estimate: _Estimate) -> Iterator[_Short]:
    resources, costs, finished = plan.resources.pretrain, estimate.costs, estimate.finished.pretrain
    loaders, recomputes = costs.pretrain_loaders(resources), resources.activation_checkpointing
    for run in plan.of("pretrain"):
        recipe = run.recipe
        given = resources.minutes_of(recipe.samples) if isinstance(recipe, Trained) else None
        if given is None or not isinstance(recipe, Trained):
            continue
        measured = finished.rates.get(pretrain_kind(recipe))
        speed = estimate.speed or costs.training
        if speed is None or (measured is None and estimate.speed is None):
            continue
        seconds = pretrain_seconds(recipe, resources.gpus, speed, loaders, recomputes, measured).low
        if 60 * given < seconds:
            kind = f"{recipe.method} of {arch_name(recipe.arch)}"
            what = f"{kind} on {recipe.samples:,} samples, {recipe.samples_seen:,} seen"
            if measured is None:
                takes = estimate.takes
            else:
                runs = counted(finished.runs[pretrain_kind(recipe)], "finished run")
                takes = f"takes {{}} or more by the samples per second of {runs} of its kind"
            yield _Short(what, given, seconds / 60, takes)


def _short_finetunes(plan: Plan, estimate: _Estimate) -> Iterator[_Short]:
    resources, speed = plan.resources.finetune, estimate.speed
    times = None if speed is None else FinetuneTimes(estimate.costs, speed)
    if resources.minutes is None:
        return
    known: set[tuple[int, str]] = set()  # trials with an architecture; 40,000 runs have hundreds
    for run in plan.of("finetune"):
        recipe, parent = run.recipe, parent_recipe(run)
        assert isinstance(recipe, Finetune)
        arch = arch_name(parent.arch)
        if (id(recipe), arch) in known:
            continue
        known.add((id(recipe), arch))
        given = resources.minutes_of(recipe.shots)
        took = estimate.finished.finetune.get(cost_kind(recipe, parent))
        if took:
            seconds = median(took)
            takes = f"took {{}} in the median of {counted(len(took), 'finished run')}"
        elif times is not None:
            seconds, takes = times.own(recipe, parent).low, estimate.takes
        else:
            continue
        if given is not None and 60 * given < seconds:
            what = f"{recipe.mode} of {arch} on {recipe.dataset} at {_shots(recipe)}"
            yield _Short(what, given, seconds / 60, takes)


def _shots(recipe: Finetune) -> str:
    return "full data" if recipe.shots == "full" else f"shots={recipe.shots}"


def _sentence(kind: RunKind, short: Iterator[_Short]) -> Iterator[str]:
    kinds: dict[str, _Short] = {}  # the longest of each, whatever its draws and tuned values
    for each in short:
        if each.what not in kinds or each.factor > kinds[each.what].factor:
            kinds[each.what] = each
    if not kinds:
        return
    worst = max(kinds.values(), key=lambda each: each.factor)
    others = f"; too few also for {counted(len(kinds) - 1, 'other kind')} of run"
    yield (
        f"resources.{kind}.minutes gives {worst.sentence}"
        f"{others if len(kinds) > 1 else ''}; each of its jobs ends before the run, which goes on "
        "in the next; give more minutes, or write auto"
    )
