"""Rehearse a study: all its runs with two steps each, to find errors before they cost anything.

python -m hpc_xfer.launch grids/size_scaling.yaml --rehearse
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune, L2Path, LinearProbe
from hpc_xfer.config.recipes import Pretrain, Trained
from hpc_xfer.config.resources import Resources
from hpc_xfer.study.study_file import Study

_STEPS = 2
_SHORT_PATH = L2Path(low=1e-2, high=1e2, count=3)  # of probes; 45 down to 1e-8 take 2 s on noise
_MINUTES = 15.0  # of a pre-training: joining ranks, opening shards, compiling
_PACK_MINUTES = 60.0  # at least: two steps take seconds, so a pack holds many runs


def rehearsal_of(study: Study) -> Study:
    """Shorten all recipes; dependencies stay. The ids differ, so no result is confused."""
    return replace(
        study,
        name=f"{study.name[:53]}-rehearsal",
        pretrains=distinct(_short(recipe) for recipe in study.pretrains),
        trials=tuple(_short_trial(trial) for trial in study.trials),
        resources=_quick(study.resources),
        rehearsal=True,
    )


def worth_of_numbers(study: Study) -> str:
    """Say what the numbers of a rehearsal are worth; nothing for the study itself."""
    if not study.rehearsal:
        return ""
    data = " on tiny stand-ins for its data" if study.stand_ins else ""
    return (
        f"This is a rehearsal: two steps per training{data}. Its numbers show that every part "
        "works, and answer nothing."
    )


def distinct(recipes: Iterable[Pretrain]) -> tuple[Pretrain, ...]:
    """Let recipes that have become the same see a sample more each: equal epochs, equal compute.

    The number of steps stays, while there are fewer of them than a batch has samples.
    """
    made: dict[str, None] = {}
    found = []
    for recipe in recipes:
        while (text := recipe.model_dump_json()) in made and isinstance(recipe, Trained):
            recipe = recipe.model_copy(update={"samples_seen": recipe.samples_seen + 1})
        made[text] = None
        found.append(recipe)
    return tuple(found)


def _short(recipe: Pretrain) -> Pretrain:
    if not isinstance(recipe, Trained):
        return recipe
    changes: dict[str, Any] = {"samples_seen": _STEPS * recipe.batch}
    if recipe.snapshots:
        changes["snapshots"] = (recipe.batch,)  # the only possible one in two steps
    return recipe.model_copy(update=changes)


def _short_trial(trial: Finetune) -> Finetune:
    """Two steps of training; a probe measures three large penalties, which converge in a moment."""
    if isinstance(trial, LinearProbe) and trial.l2 is None:
        return trial.model_copy(update={"path": _SHORT_PATH})
    if isinstance(trial, AdamWFinetune):
        return trial.model_copy(update={"max_steps": _STEPS})
    return trial


def _quick(resources: Resources) -> Resources:
    """Shorten the minutes; the packs get larger, so that there are fewer jobs than in the study.

    The minutes of fine-tunings are estimated, as those of the grid are for all their steps.
    """
    tune, pretrain = resources.finetune, resources.pretrain
    given = pretrain.minutes if isinstance(pretrain.minutes, float) else _MINUTES
    target = max(tune.target_minutes, _PACK_MINUTES)
    return resources.model_copy(
        update={
            "pretrain": pretrain.model_copy(update={"minutes": min(given, _MINUTES)}),
            "finetune": tune.model_copy(update={"minutes": None, "target_minutes": target}),
        }
    )
