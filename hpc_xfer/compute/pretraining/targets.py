"""Read the target of an image, its caption or class, from the fields of a sample.

target = target_reader(recipe, "laion", index.classes)
target(shard.read(i), rng)     # a caption, or a class number under supervised
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from numpy.random import Generator

from hpc_xfer.compute.shards import captions, labels
from hpc_xfer.compute.shards.captions import BadCaption
from hpc_xfer.compute.shards.labels import BadLabel
from hpc_xfer.compute.shards.shard import Sample
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.training_data.captions import Target
from hpc_xfer.errors import DataError

Reader = Callable[[Sample, Generator], Any]


def fields(recipe: Trained, source: str) -> tuple[str, ...]:
    """List the fields of a sample of a source that a recipe reads besides the image."""
    return tuple(dict.fromkeys(target.field for target in recipe.targets_of(source)))


def target_reader(recipe: Trained, source: str, classes: Sequence[str]) -> Reader:
    """Make the function that reads the caption or class number of a sample of a source.

    It raises DataError where the sample is broken.
    """
    targets = recipe.targets_of(source)
    readers = [_reader(target, classes) for target in targets]
    if not readers:
        return lambda sample, rng: None
    if len(readers) == 1:
        return readers[0]
    return _Mixed(readers, [target.share for target in targets])


def _reader(target: Target, classes: Sequence[str]) -> Reader:
    if target.is_label:
        label = _label_reader(target.label_key, classes)
        if target.templates:
            return _Templates(target.templates, label, classes)
        return lambda sample, rng: label(sample)
    if target.caption_keys:
        return lambda sample, rng: captions.joined(_json(sample), target.caption_keys)
    return lambda sample, rng: _text(sample)


class _Mixed:
    """Draws one kind of captions; each epoch draws anew. A sample without this kind is broken."""

    def __init__(self, readers: Sequence[Reader], shares: Sequence[int]) -> None:
        self.readers, self.ends = readers, list(itertools.accumulate(shares))

    def __call__(self, sample: Sample, rng: Generator) -> Any:
        kind = bisect.bisect_right(self.ends, int(rng.integers(self.ends[-1])))
        return self.readers[kind](sample, rng)


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
    if "txt" not in sample:
        raise DataError("has no caption (txt)")
    try:
        return captions.caption(sample["txt"])
    except BadCaption as error:
        raise DataError(f"has no caption (its txt {error})") from None


def _json(sample: Sample) -> dict[str, Any]:
    if "json" not in sample:
        raise DataError("has no json")
    return labels.json_object(sample["json"])


def _label_reader(key: str | None, classes: Sequence[str]) -> Callable[[Sample], int]:
    numbers = {name: number for number, name in enumerate(classes)}

    def read(sample: Sample) -> int:
        if key is None and "cls" not in sample:
            raise DataError("has no label (cls)")
        value = labels.class_number(sample["cls"]) if key is None else _named(_json(sample), key)
        if isinstance(value, str):
            if value not in numbers:
                raise DataError(f"label {value!r} is none of the {len(classes)} classes")
            return numbers[value]
        if value >= len(classes):
            raise DataError(f"label {value} is outside of the {len(classes)} classes")
        return value

    return read


def _named(content: dict[str, Any], key: str) -> int | str:
    try:
        return labels.json_label(content, key)
    except BadLabel as error:
        raise DataError(f"{error} (json: {key})") from None
