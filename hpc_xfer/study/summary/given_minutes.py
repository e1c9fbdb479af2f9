"""Find kinds of runs that a grid gives fewer minutes than they take even on a fast card.

for line in given_minutes_notes(plan):
    print(line)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Trained, arch_name
from hpc_xfer.study.cost_estimate import RunCosts, Speed
from hpc_xfer.study.costs.finetune_time import FinetuneTimes
from hpc_xfer.study.costs.pretrain_time import pretrain_seconds
from hpc_xfer.study.costs.training_speed import TrainingSpeed
from hpc_xfer.study.plan import Plan, RunKind, parent_recipe
from hpc_xfer.system.terminal import counted


@dataclass(frozen=True)
class _Short:
    """A kind of run, the minutes that the grid gives it, and the least that it takes."""

    what: str
    given: float
    least: float


def given_minutes_notes(plan: Plan) -> Iterator[str]:
    """Say of pre-trainings, then of fine-tunings, which kind is furthest short; see docs/cost.md.

    Nothing is said where no estimate is known: the plan has no costs or no speed.
    """
    if plan.costs is None or plan.costs.training is None:
        return
    pretrains = dict(_short_pretrains(plan, plan.costs, plan.costs.training))
    finetunes = dict(_short_finetunes(plan, plan.costs, plan.costs.training))
    yield from _sentence("pretrain", list(pretrains.values()), plan.costs.speed)
    yield from _sentence("finetune", list(finetunes.values()), plan.costs.speed)


def _short_pretrains(
    plan: Plan, costs: RunCosts, speed: TrainingSpeed
) -> Iterator[tuple[str, _Short]]:
    resources = plan.resources.pretrain
    loaders, recomputes = costs.pretrain_loaders(resources), resources.activation_checkpointing
    for run in plan.of("pretrain"):
        recipe = run.recipe
        if not isinstance(recipe, Trained):
            continue
        given = resources.minutes_of(recipe.samples)
        seconds = pretrain_seconds(recipe, resources.gpus, speed, loaders, recomputes).low
        if given is not None and 60 * given < seconds:
            what = f"{recipe.method} of {arch_name(recipe.arch)}, {recipe.samples_seen:,} samples"
            yield what, _Short(what, given, seconds / 60)


def _short_finetunes(
    plan: Plan, costs: RunCosts, speed: TrainingSpeed
) -> Iterator[tuple[str, _Short]]:
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
            yield what, _Short(what, given, seconds / 60)


def _shots(recipe: Finetune) -> str:
    return "full data" if recipe.shots == "full" else f"shots={recipe.shots}"


def _sentence(kind: RunKind, short: list[_Short], speed: Speed) -> Iterator[str]:
    if not short:
        return
    worst = max(short, key=lambda each: each.least / each.given)
    more = f", and {counted(len(short) - 1, 'other kind')} of run too few" if short[1:] else ""
    card = f"a fast card with {counted(speed.cores, 'CPU')}" if speed.has_gpu else "fast cores"
    yield (
        f"resources.{kind}.minutes gives {worst.given:g} to {worst.what}, which takes "
        f"{math.ceil(worst.least):,} or more on {card}{more}; their jobs end before the run and go "
        "on in further jobs; give more minutes, or write auto"
    )
