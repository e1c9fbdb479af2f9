"""The whole study with two steps per run: does everything fit together, before it costs anything?

python -m hpc_xfer.launch grids/size_scaling.yaml --rehearse
"""

from dataclasses import replace
from typing import Any

from hpc_xfer.config.recipes import Finetune, Pretrain, Trained
from hpc_xfer.config.resources import Resources
from hpc_xfer.study.study_file import Study

_STEPS = 2
_MINUTES = 15.0  # of a pre-training: meeting, opening the shards, compiling
_TUNE_MINUTES = 3.0


def rehearsal_of(asked: Study) -> Study:
    """The same runs, jobs and dependencies; other recipes, so that no result can be mistaken."""
    return replace(
        asked,
        name=f"{asked.name[:53]}-rehearsal",
        pretrains=tuple(_short(recipe) for recipe in asked.pretrains),
        trials=tuple(_short_trial(trial) for trial in asked.trials),
        resources=_quick(asked.resources),
        rehearsal=True,
    )


def _short(recipe: Pretrain) -> Pretrain:
    if not isinstance(recipe, Trained):
        return recipe
    changes: dict[str, Any] = {"samples_seen": _STEPS * recipe.batch}
    if recipe.snapshots:
        changes["snapshots"] = (recipe.batch,)  # the only one before the second step
    return recipe.model_copy(update=changes)


def _short_trial(trial: Finetune) -> Finetune:
    return trial.model_copy(update={"max_steps": _STEPS})


def _quick(resources: Resources) -> Resources:
    tune, pretrain = resources.finetune, resources.pretrain
    return resources.model_copy(
        update={
            "pretrain": pretrain.model_copy(update={"minutes": min(pretrain.minutes, _MINUTES)}),
            "finetune": tune.model_copy(update={"minutes": _TUNE_MINUTES}),
        }
    )
