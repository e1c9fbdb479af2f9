"""List the keys that a block of a grid can have."""

from collections.abc import Iterable, Mapping
from typing import Any

from hpc_xfer.config.finetune_recipes import MODES, SOLVERS, finetune_class
from hpc_xfer.config.protocols import Protocol
from hpc_xfer.config.recipes import METHODS
from hpc_xfer.config.schema import StrictModel
from hpc_xfer.study.grid_blocks.finetune_axes import OLDER, FinetuneAxes, all_settings

# Two ways to say one thing: a block has one of them.
RIVALS = {"epochs": "samples_seen", "samples_seen": "epochs"}


def pretrain_keys(model: type[StrictModel]) -> set[str]:
    """Keys of a `pretrain` block of one method."""
    more = {"epochs"} if "samples_seen" in model.model_fields else set()
    return (set(model.model_fields) | more | {"name"}) - {"ranks"}


def all_keys(kind: str) -> dict[str, list[str]]:
    """Map each key to the methods or modes that have it; an axis of `finetune` to none."""
    if kind == "finetune":
        return {key: [] for key in (*FinetuneAxes.model_fields, *OLDER)} | all_settings()
    found: dict[str, list[str]] = {}
    for method, model in METHODS.items():
        for key in pretrain_keys(model):
            found.setdefault(key, []).append(method)
    return found


def keys_elsewhere(kind: str) -> set[str]:
    """Keys that only blocks of the other kind have, so that they are no misspelt ones here.

    `method` is none of them: in `finetune` it stands for `mode`.
    """
    other = "pretrain" if kind == "finetune" else "finetune"
    return set(all_keys(other)) - set(all_keys(kind)) - {"method"}


def keys_of(kind: str, block: Mapping[str, Any], protocol: Protocol) -> set[str] | None:
    """Keys that this block can have; None where its method or its modes are wrong or missing."""
    if kind == "pretrain":
        method = block.get("method")
        known = isinstance(method, str) and method in METHODS
        return pretrain_keys(METHODS[str(method)]) if known else None
    modes, solver = block.get("mode", ["ft"]), block.get("solver", protocol.solver)
    if not isinstance(modes, list) or not _all_in(modes, MODES) or solver not in SOLVERS:
        return None
    classes = [finetune_class(mode, solver) for mode in modes]
    keys = set(FinetuneAxes.model_fields).union(*(cls.model_fields for cls in classes))
    keys -= {"dataset", "draw", "snapshot"} | (set() if "lp" in modes else {"solver"})
    return keys if any(cls.tunable for cls in classes) else keys - {"tune"}


def has_own(block: Mapping[str, Any], key: str) -> bool:
    """Tell whether a block says a key itself, or says the same thing by another key."""
    tuned = block.get("tune")
    return key in block or RIVALS.get(key) in block or (isinstance(tuned, Mapping) and key in tuned)


def _all_in(values: Iterable[Any], known: Iterable[str]) -> bool:
    return all(isinstance(value, str) and value in known for value in values)
