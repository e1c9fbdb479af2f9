"""Read the target of an image, its caption or class, from the fields of a sample.

target = reader(recipe, index.classes)
target(shard.read(i), rng)     # a caption, or a class number under supervised
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from numpy.random import Generator

from hpc_xfer.compute.shards.shard import Sample
from hpc_xfer.config.recipes import Trained
from hpc_xfer.errors import DataError

Reader = Callable[[Sample, Generator], Any]


def fields(recipe: Trained) -> tuple[str, ...]:
    """List the fields of a sample that a recipe reads besides the image."""
    return () if recipe.target is None else (recipe.target.field,)


def target_reader(recipe: Trained, classes: Sequence[str]) -> Reader:
    """Make the function that reads a sample's caption or class number.

    It raises DataError where the sample is broken.
    """
    target = recipe.target
    if target is None:
        return lambda sample, rng: None
    if target.is_label:
        label = _label_reader(target.label_key, classes)
        if target.templates:
            return _Templates(target.templates, label, classes)
        return lambda sample, rng: label(sample)
    if target.caption_keys:
        return lambda sample, rng: _joined(_json(sample), target.caption_keys)
    return lambda sample, rng: _text(sample)


class _Templates:
    """Makes a sentence about the class; each epoch draws another template."""

    def __init__(
        self, templates: Sequence[str], label: Callable[[Sample], int], classes: Sequence[str]
    ) -> None:
        self.templates, self.label, self.classes = templates, label, classes

    def __call__(self, sample: Sample, rng: Generator) -> str:
        name = self.classes[self.label(sample)]
        return self.templates[int(rng.integers(len(self.templates)))].replace("{}", name)


def _text(sample: Sample) -> str:
    caption = sample.get("txt", b"").decode("utf-8", errors="replace").strip()
    if not caption:
        raise DataError("has no caption (txt)")
    return caption


def _json(sample: Sample) -> dict[str, Any]:
    if "json" not in sample:
        raise DataError("has no json")
    try:
        content = json.loads(sample["json"])
    except (ValueError, RecursionError) as error:
        raise DataError(f"its json cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise DataError("its json is not an object of keys and values")
    return content


def _joined(content: dict[str, Any], keys: Sequence[str]) -> str:
    """Join the texts under these keys; a list, such as tags, is joined too."""
    texts = [text for key in keys for text in _texts(content.get(key))]
    if not texts:
        raise DataError(f"has no caption (json: {', '.join(keys)})")
    return " ".join(texts)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text.strip() for text in values if isinstance(text, str) and text.strip()]


def _label_reader(key: str | None, classes: Sequence[str]) -> Callable[[Sample], int]:
    numbers = {name: number for number, name in enumerate(classes)}

    def read(sample: Sample) -> int:
        if key is None and "cls" not in sample:
            raise DataError("has no label (cls)")
        value = int(sample["cls"]) if key is None else _json(sample).get(key)
        if value is None:
            raise DataError(f"has no label (json: {key})")
        if isinstance(value, str):
            if value not in numbers:
                raise DataError(f"label {value!r} is none of the {len(classes)} classes")
            return numbers[value]
        if not isinstance(value, int):
            raise DataError(f"label {value!r} is neither a class number nor a name")
        if not 0 <= value < len(classes):
            raise DataError(f"label {value} is outside of the {len(classes)} classes")
        return value

    return read
