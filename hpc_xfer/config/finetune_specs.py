"""Fine-tuning recipes as they are hashed and written, in the form of their version.

What version 0.1 could express is written as it wrote it, so that its runs keep their ids.
"""

from collections.abc import Mapping
from typing import Any, get_args

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune, finetune_class

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


def dump_finetune(recipe: Finetune) -> dict[str, Any]:
    """Return a recipe as it is hashed: every default filled in, None dropped."""
    spec = recipe.model_dump(mode="json", exclude_none=True)
    if not _is_of_0_1(recipe, spec):
        return spec
    spec["recalibrate"] = spec.pop("batch_norm") == "recalibrate"
    return {key: spec[key] for key in _COLUMNS_0_1 if key in spec}


def read_finetune(spec: Mapping[str, Any]) -> tuple[type[Finetune], dict[str, Any]]:
    """Return the class and the values of a recipe as it was hashed."""
    if "recalibrate" not in spec:
        cls = finetune_class(spec["mode"], spec.get("solver", "logistic"))
        return cls, _dropped(cls) | dict(spec)
    cls = finetune_class(spec["mode"], "adamw")
    values = {key: value for key, value in _SINCE_0_1.items() if key in cls.model_fields}
    values |= _dropped(cls) | {k: v for k, v in spec.items() if k != "recalibrate"}
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


def _dropped(cls: type[Finetune]) -> dict[str, None]:
    """Settings that are None where they are absent, though their default is not."""
    fields = cls.model_fields.items()
    return {
        k: None for k, f in fields if f.default is not None and type(None) in get_args(f.annotation)
    }
