"""Start a pre-training from the weights that its recipe names with `init`, or from its parent.

    told = load_initial(context, recipe, towers, checkpoints)      # for the record

All ranks call it, and agree on what they read. An attempt that goes on from a checkpoint, which has
the weights of all towers, reads init.json instead of the weights: normalization and digest.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import parent_weights, pretrained_weights
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import PARENT, ImageText, Trained
from hpc_xfer.errors import AgreedDataError, DataError, StoreError
from hpc_xfer.store.documents.initial_weights import INITIAL_WEIGHTS
from hpc_xfer.system import atomic_files

Made = TypeVar("Made")


def load_initial(
    context: RunContext, recipe: Trained, towers: Towers, checkpoints: Checkpoints
) -> dict[str, Any]:
    """Load the weights into the towers; return their name, digest and parts, or nothing.

    Raises:
        AgreedDataError: a rank cannot read the weights, or they do not fit; on all ranks.
        StoreError: the parent is not finished.
    """
    if recipe.init is None:
        return {}
    resumed = checkpoints.look_ahead()
    told = agreed(
        context.world,
        lambda: _known(context, recipe, towers, resumed) or _read(context, recipe, towers),
    )
    differ = "wait until all nodes see the one that the site names"
    if recipe.init == PARENT:
        differ = "wait until all nodes see the encoder of the parent"
    if len(set(context.world.gather([told["sha256"]]))) > 1:
        raise AgreedDataError(
            f"init {_name(context, recipe)}: the ranks see different files; {differ}, then launch "
            "again"
        )
    if context.claim is not None:
        context.claim.check()
        atomic_files.write_json(context.dir.initial_weights, told)
    return {"weights": told}


def agreed(world: World, make: Callable[[], Made]) -> Made:
    """Call a function on all ranks; raise on all if it fails on one."""
    made, failure = None, None
    try:
        made = make()
    except DataError as error:
        failure = error
    failures = world.gather([] if failure is None else [str(failure)])
    if failures:
        raise AgreedDataError(failures[0]) from failure
    assert made is not None
    return made


def _read(context: RunContext, recipe: Trained, towers: Towers) -> dict[str, Any]:
    assert recipe.init is not None
    if recipe.init == PARENT:
        return _read_parent(context, recipe, towers)
    entry = context.site.weights(recipe.init)
    weights = pretrained_weights.read(recipe.arch, recipe.init, entry)
    loaded = pretrained_weights.start(towers, weights)
    if isinstance(recipe, ImageText) and recipe.lock == "text" and "text" not in loaded.parts:
        raise DataError(
            f"{weights.where}: has no text tower, and lock: text would keep random weights; name "
            "other weights with init, or remove lock"
        )
    return {"name": recipe.init, **pretrained_weights.told(weights, towers, loaded)}


def _name(context: RunContext, recipe: Trained) -> str:
    """Name the weights as init.json and messages do; those of a parent by its run."""
    if recipe.init != PARENT:
        return str(recipe.init)
    if not context.run.parents:
        raise StoreError(
            f"run {context.run.id}: its pack file does not name the run that it starts from; "
            "launch the study again"
        )
    return f"run {context.run.parents[0].id}"


def _read_parent(context: RunContext, recipe: Trained, towers: Towers) -> dict[str, Any]:
    """Load the final encoder of the parent, which has to be the file that its record names."""
    name, parent = _name(context, recipe), context.run.parents[0]
    assert not isinstance(parent.recipe, Finetune)
    record = context.store.record(parent.id)
    if record is None or not context.store.is_done(parent):
        raise StoreError(f"the parent {parent.id} has no record; launch the study again")
    found = parent_weights.start(
        context.store.run(parent.id).encoder, record, parent.recipe.arch, towers
    )
    if isinstance(recipe, ImageText) and recipe.lock == "text" and "text" not in found["parts"]:
        raise DataError(
            f"{name}: has no text tower, and lock: text would keep random weights; start from "
            "another block with init, or remove lock"
        )
    return {"name": name, "run": parent.id, **found}


def _known(
    context: RunContext, recipe: Trained, towers: Towers, resumed: bool
) -> dict[str, Any] | None:
    """Take normalization and digest from an earlier attempt, if its checkpoint has the weights."""
    told = INITIAL_WEIGHTS.read(context.dir.initial_weights) if resumed else None
    if told is None or told["name"] != _name(context, recipe):
        return None
    towers.normalization = (tuple(told["mean"]), tuple(told["std"]))
    return told
