"""Say in tables what a pre-training starts from: `clip laion 2.7M 43.2M seen lr=0.0005`."""

import json
from typing import Any

from hpc_xfer.config.recipes import Pretrain, Trained
from hpc_xfer.config.training_data.data_names import data_names

# Told by words of their own; or they decide no weights; or seeds, which share a label.
_NOT_SETTINGS = {
    "method", "arch", "weights", "source", "samples", "samples_seen", "seed", "ranks", "init",
    "snapshots",
}  # fmt: skip


def start_text(recipe: Pretrain, before: str = "") -> str:
    """Describe a pre-training by its data and by all settings that are not the default.

    Two of one architecture have the same text only if they differ in nothing but the seed.

    Args:
        before: what the pre-training itself starts from.
    """
    words = [recipe.method]
    if isinstance(recipe, Trained):
        words += [recipe.source_name, _count(recipe.samples), f"{_count(recipe.samples_seen)} seen"]
    words += [str(recipe.weights)] if hasattr(recipe, "weights") else []
    told = data_names(recipe)
    init = before or getattr(recipe, "init", None)
    values = recipe.model_dump(mode="json")
    for name, field in type(recipe).model_fields.items():
        if name not in _NOT_SETTINGS and getattr(recipe, name) != field.default:
            words.append(f"{name}={told.get(name, _text(values[name]))}")
    return " ".join([*words, *([f"init=({init})"] if init else [])])


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)


def _count(number: int) -> str:
    """Shorten a count where no digit is lost by it: 2,700,000 -> 2.7M."""
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if number >= size and not number % (size // 10):
            return f"{number / size:.1f}".removesuffix(".0") + letter
    return str(number)
