"""Recipes as they are hashed and written, and read again.

Every default is filled in, and a setting that is None by default is left out where it is None. A
setting that is None by choice (`grad_clip: null`) is written in a pre-training, and left out of a
fine-tuning, whose ids have always been made so.

Fine-tunings that version 0.1 could express are written as it wrote them, so that they keep their
ids.
"""

import functools
from collections.abc import Mapping
from typing import Any, get_args

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune, finetune_class
from hpc_xfer.config.recipes import METHODS, Pretrain
from hpc_xfer.config.schema import StrictModel

# Settings that came after version 0.1, with the value that its runs had.
_SINCE_0_1: dict[str, Any] = {
    "solver": "adamw",
    "validation": "fraction",
    "decay_all": False,
    "select": "validation",
    "warmup_cap": True,
}
_COLUMNS_0_1 = (  # in their order in runs.csv
    "dataset", "shots", "draw", "mode", "lr", "weight_decay", "epochs", "batch", "warmup_steps",
    "grad_clip", "label_smoothing", "head", "crop", "flip", "randaugment", "erase", "recalibrate",
    "val_fraction", "val_seed", "precision", "seed", "max_steps", "snapshot",
)  # fmt: skip


def dump_pretrain(recipe: Pretrain) -> dict[str, Any]:
    """Return the recipe of a pre-training as it is hashed, settings that are None by choice too."""
    spec = recipe.model_dump(mode="json", exclude_none=True)
    chosen = _nulls(recipe)
    return {key: spec.get(key) for key in type(recipe).model_fields if key in spec or key in chosen}


def dump_finetune(recipe: Finetune) -> dict[str, Any]:
    """Return the recipe of a fine-tuning as it is hashed, without any None."""
    spec = recipe.model_dump(mode="json", exclude_none=True)
    if not _is_of_0_1(recipe, spec):
        return spec
    spec["recalibrate"] = spec.pop("batch_norm") == "recalibrate"
    return {key: spec[key] for key in _COLUMNS_0_1 if key in spec}


def nulls_left_out(recipe: Finetune, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """List the settings that are None by choice, which tables show beside `spec`, what is hashed.

    Of a recipe in the form of version 0.1 they are those that it had.
    """
    return tuple(k for k in _nulls(recipe) if "recalibrate" not in spec or k in _COLUMNS_0_1)


def read_pretrain(spec: Mapping[str, Any]) -> tuple[type[Pretrain], dict[str, Any]]:
    """Return the class and the values of a recipe as it was hashed."""
    return METHODS[spec["method"]], dict(spec)


def read_finetune(spec: Mapping[str, Any]) -> tuple[type[Finetune], dict[str, Any]]:
    """Return the class and the values of a recipe as it was hashed."""
    if "recalibrate" not in spec:
        cls = finetune_class(spec["mode"], spec.get("solver", "logistic"))
        return cls, dict.fromkeys(_nullable(cls)) | dict(spec)
    cls = finetune_class(spec["mode"], "adamw")
    values = {key: value for key, value in _SINCE_0_1.items() if key in cls.model_fields}
    values |= dict.fromkeys(_nullable(cls)) | {k: v for k, v in spec.items() if k != "recalibrate"}
    return cls, values | {"batch_norm": "recalibrate" if spec["recalibrate"] else "train"}


def _is_of_0_1(recipe: Finetune, spec: Mapping[str, Any]) -> bool:
    """Tell whether version 0.1 could write this recipe."""
    later = set(spec) - set(_COLUMNS_0_1) - {"batch_norm"}
    return (
        isinstance(recipe, AdamWFinetune)
        and recipe.mode in ("ft", "lp")
        and recipe.val_seed is not None
        and recipe.batch_norm != "frozen"
        and all(key in _SINCE_0_1 and spec[key] == _SINCE_0_1[key] for key in later)
    )


def _nulls(recipe: StrictModel) -> list[str]:
    return [key for key in _nullable(type(recipe)) if getattr(recipe, key) is None]


@functools.cache
def _nullable(cls: type[StrictModel]) -> tuple[str, ...]:
    """List the settings that may be None though their default is not."""
    fields = cls.model_fields.items()
    return tuple(
        k for k, f in fields if f.default is not None and type(None) in get_args(f.annotation)
    )
