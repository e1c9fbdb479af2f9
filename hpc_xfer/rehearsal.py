"""The whole study with two steps per run: does everything fit together, before it costs anything?

python -m hpc_xfer.launch grids/size_scaling.yaml --rehearse
"""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hpc_xfer.errors import StudyError
from hpc_xfer.recipes import Finetune, Pretrain, Trained
from hpc_xfer.store import Store
from hpc_xfer.study import Resources, Study

_STEPS = 2
_MINUTES = 15.0  # of a pre-training: meeting, opening the shards, compiling
_TUNE_MINUTES = 3.0


def of(asked: Study) -> Study:
    """The same runs, jobs and dependencies; other recipes, so that no result can be mistaken."""
    return replace(
        asked,
        name=f"{asked.name[:53]}-rehearsal",
        pretrains=tuple(_short(recipe) for recipe in asked.pretrains),
        trials=tuple(_short_trial(trial) for trial in asked.trials),
        resources=_quick(asked.resources),
        rehearsal=True,
    )


def store_beside(store: Store) -> Store:
    """A new one, named after this moment: in UTC, so that the newest is the last by name."""
    now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return Store(Path(f"{store.root}-rehearsal-{now}"))


def newest(store: Store) -> Store | None:
    """The last rehearsal's store."""
    found = sorted(store.root.parent.glob(f"{store.root.name}-rehearsal-*"))
    return Store(found[-1]) if found else None


def last(asked: Study, store: Store) -> tuple[Study, Store]:
    """A study's last rehearsal.

    Raises:
        StudyError: there is none.
    """
    found = newest(store)
    if found is None:
        raise StudyError(f"{store.root}: no rehearsal beside it; launch with --rehearse")
    return of(asked), found


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
