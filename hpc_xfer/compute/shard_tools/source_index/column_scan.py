"""Collect the values of columns from the samples of a shard, and join those of all shards.

A value is a number or a text. A column with a single text, or with a whole number that float64
cannot hold, is a column of texts, of which the hashes are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.config.training_data.columns import INEXACT, Kind, number_text, text_hash
from hpc_xfer.config.training_data.selection import CLASS, KEY

Arrays = dict[str, tuple[Kind, NDArray[Any]]]  # kind and values by name of the column


@dataclass
class ColumnValues:
    """The values of one column: numbers, and the hashes of what is no number."""

    numbers: NDArray[np.float64]  # NaN where there is none
    hashes: NDArray[np.uint64]  # 0 where there is none

    @classmethod
    def empty(cls, samples: int) -> "ColumnValues":
        return cls(np.full(samples, np.nan), np.zeros(samples, dtype=np.uint64))

    def put(self, i: int, value: Any) -> None:
        """Keep a value of a json or a table; what is neither number nor text is left out."""
        if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < INEXACT):
            self.numbers[i] = value  # NaN of json is none
        elif isinstance(value, int) or (isinstance(value, str) and value):
            self.hashes[i] = text_hash(str(value))

    @property
    def kind(self) -> Kind:
        return "text" if self.hashes.any() else "number"

    def of_kind(self, kind: Kind) -> NDArray[Any]:
        """Return the values; numbers as hashes, where the column holds texts elsewhere."""
        if kind == "number":
            return self.numbers
        hashes = self.hashes.copy()
        for i in np.flatnonzero(~np.isnan(self.numbers)).tolist():
            hashes[i] = text_hash(number_text(float(self.numbers[i])))
        return hashes


class ShardColumns:
    """The columns of one shard, filled sample by sample."""

    def __init__(self, names: Sequence[str], keys: Sequence[str]) -> None:
        samples = len(keys)
        self.of_json = {
            name: ColumnValues.empty(samples) for name in names if name not in (KEY, CLASS)
        }
        self.keys: NDArray[Any] | None = None
        if KEY in names:
            self.keys = np.fromiter(map(text_hash, keys), np.uint64, samples)
        self.labels: dict[int | str, int] = {}  # numbered as they come
        self.label_numbers = np.full(samples if CLASS in names else 0, -1, dtype=np.int32)

    def add(self, i: int, content: dict[str, Any]) -> None:
        for name, values in self.of_json.items():
            if name in content:
                values.put(i, content[name])

    def hashes_of(self, name: str) -> NDArray[Any]:
        """The hash of each sample's value in a column; 0 where there is none."""
        if name != KEY:
            return self.of_json[name].of_kind("text")
        assert self.keys is not None
        return self.keys

    def add_label(self, i: int, label: int | str) -> None:
        if len(self.label_numbers):
            self.label_numbers[i] = self.labels.setdefault(label, len(self.labels))


def join(
    names: Sequence[str], shards: Sequence[ShardColumns], classes: Sequence[str] | None
) -> Arrays:
    """Join the columns of all shards, in the order of the index."""
    found: Arrays = {}
    for name in names:
        if name == KEY:
            found[name] = "text", np.concatenate([shard.hashes_of(KEY) for shard in shards])
        elif name == CLASS:
            number = _class_number(classes or ())
            found[name] = "class", np.concatenate([_classes_of(each, number) for each in shards])
        else:
            values = [shard.of_json[name] for shard in shards]
            kind: Kind = "text" if any(each.kind == "text" for each in values) else "number"
            found[name] = kind, np.concatenate([each.of_kind(kind) for each in values])
    return found


def _class_number(classes: Sequence[str]) -> Callable[[int | str], int]:
    numbers = {name: number for number, name in enumerate(classes)}

    def number(label: int | str) -> int:
        if isinstance(label, str):
            return numbers.get(label, -1)
        return label if label < len(classes) else -1

    return number


def _classes_of(shard: ShardColumns, number: Callable[[int | str], int]) -> NDArray[Any]:
    """Turn the numbers of labels into those of classes; -1 stays."""
    table = np.array([*map(number, shard.labels), -1], dtype=np.int32)
    return table[shard.label_numbers]
