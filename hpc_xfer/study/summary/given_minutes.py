"""Find kinds of runs that a grid gives fewer minutes than the low end of their estimate.

for line in given_minutes_notes(plan, site.slurm):
    print(line)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Trained, arch_name
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.cost_estimate import RunCosts
from hpc_xfer.study.costs.finetune_time import FinetuneTimes
from hpc_xfer.study.costs.gpu_rates import card_of
from hpc_xfer.study.costs.pretrain_time import pretrain_seconds
from hpc_xfer.study.costs.training_speed import TrainingSpeed, speed_of_card
from hpc_xfer.study.plan import Plan, RunKind, parent_recipe
from hpc_xfer.system.terminal import counted

_FASTEST = "h200"  # of the cards in gpu_rates.py


@dataclass(frozen=True)
class _Short:
    """A kind of run, the minutes that the grid gives it, and the least that it takes."""

    what: str
    given: float
    least: float

    @property
    def factor(self) -> float:
        return self.least / self.given


def given_minutes_notes(plan: Plan, slurm: Slurm) -> Iterator[str]:
    """Say of pre-trainings, then of fine-tunings, which kind is furthest short; see docs/cost.md.

    A card that the site does not name may be any, so the fastest is assumed. Nothing is said where
    nobody knows the CPUs beside a GPU, which decide how fast images are loaded.
    """
    costs = plan.costs
    if costs is None or costs.training is None:
        return
    if costs.speed.has_gpu and slurm.cpus_per_gpu is None:
        return
    speed = costs.training
    if costs.speed.has_gpu and slurm.teraflops is None:
        card = card_of(slurm.gpu_type, slurm.gpu_memory) or card_of(_FASTEST)
        assert card is not None
        speed = speed_of_card(card)
    on = speed.rests_on.removeprefix("FLOPs, ")
    if costs.speed.has_gpu:
        on += f" with {counted(costs.speed.cores, 'CPU')}"
    yield from _sentence("pretrain", _short_pretrains(plan, costs, speed), on)
    yield from _sentence("finetune", _short_finetunes(plan, costs, speed), on)


def _short_pretrains(plan: Plan, costs: RunCosts, speed: TrainingSpeed) -> Iterator[_Short]:
    resources = plan.resources.pretrain
    loaders, recomputes = costs.pretrain_loaders(resources), resources.activation_checkpointing
    for run in plan.of("pretrain"):
        recipe = run.recipe
        if not isinstance(recipe, Trained):
            continue
        given = resources.minutes_of(recipe.samples)
        seconds = pretrain_seconds(recipe, resources.gpus, speed, loaders, recomputes).low
        if given is not None and 60 * given < seconds:
            kind = f"{recipe.method} of {arch_name(recipe.arch)}"
            what = f"{kind} on {recipe.samples:,} samples, {recipe.samples_seen:,} seen"
            yield _Short(what, given, seconds / 60)


def _short_finetunes(plan: Plan, costs: RunCosts, speed: TrainingSpeed) -> Iterator[_Short]:
    resources, times = plan.resources.finetune, FinetuneTimes(costs, speed)
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
        given, seconds = resources.minutes_of(recipe.shots), times.own(recipe, parent).low
        if given is not None and 60 * given < seconds:
            what = f"{recipe.mode} of {arch} on {recipe.dataset} at {_shots(recipe)}"
            yield _Short(what, given, seconds / 60)


def _shots(recipe: Finetune) -> str:
    return "full data" if recipe.shots == "full" else f"shots={recipe.shots}"


def _sentence(kind: RunKind, short: Iterator[_Short], on: str) -> Iterator[str]:
    kinds: dict[str, _Short] = {}  # the longest of each, whatever its draws and tuned values
    for each in short:
        if each.what not in kinds or each.factor > kinds[each.what].factor:
            kinds[each.what] = each
    if not kinds:
        return
    worst = max(kinds.values(), key=lambda each: each.factor)
    others = f"; too few also for {counted(len(kinds) - 1, 'other kind')} of run"
    yield (
        f"resources.{kind}.minutes gives {worst.given:g} minutes to {worst.what}, which takes "
        f"{math.ceil(worst.least):,} or more by the estimate for {on}"
        f"{others if len(kinds) > 1 else ''}; each of its jobs ends before the run, which goes on "
        "in the next; give more minutes, or write auto"
    )
