"""Number the different labels of a column, a batch of rows at a time.

What a column of labels means follows from its different values, how often and where first each
occurs: a table of any length needs no more memory than these.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpc_xfer.compute.shard_tools.class_names import MOST
from hpc_xfer.compute.shard_tools.tables.text_rows import quoted, type_name
from hpc_xfer.errors import DataError

_MOST_TEXT = 64 << 20  # characters of all different labels


class LabelCounts:
    """The different labels of a column, as text without spaces around it, in order of their code.

    Raises:
        DataError: they are of another type, or there are very many.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._name = name
        self.codes: dict[str, int] = {}  # by text
        self.counts: list[int] = []  # by code
        self.first: list[int] = []  # row, from 0
        self.spaced: dict[int, tuple[int, int, str]] = {}  # how many, the first row, and its text
        self._rows = self._characters = 0

    def number(self, values: Any) -> NDArray[np.int32]:
        """Return the code of each label of the next batch; -1 where it is empty."""
        texts = as_text(self.path, values)
        encoded = texts.dictionary_encode()
        places = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        found = encoded.dictionary.to_pylist()
        counts = np.bincount(places + 1, minlength=len(found) + 1)[1:]
        first = np.zeros(len(found) + 1, np.int64)
        first[places[::-1]] = np.arange(len(places))[::-1]  # the earliest is written last
        rows = (first + self._rows).tolist()
        codes = [self._code(*each) for each in zip(found, rows, counts.tolist(), strict=False)]
        numbers: NDArray[np.int32] = np.array([*codes, -1], np.int32)[places]  # -1: of empty ones
        self._note_spaces(values, texts, numbers)
        self._rows += len(numbers)
        return numbers

    def rows(self, texts: Iterable[str]) -> int:
        """Count the rows that have one of these labels."""
        return sum(self.counts[self.codes[text]] for text in texts)

    def first_of(self, texts: Iterable[str]) -> tuple[str, int]:
        """Return the one of these labels that comes first, and its row, from 1."""
        text = min(texts, key=lambda each: self.first[self.codes[each]])
        return text, self.first[self.codes[text]] + 1

    def quote_first(self, texts: Iterable[str]) -> str:
        """Quote the first of these labels, with its row."""
        text, row = self.first_of(texts)
        return f"{quoted(text)} in row {row:,}"

    def _code(self, text: str, row: int, number: int) -> int:
        code = self.codes.setdefault(text, len(self.codes))
        if code == len(self.counts):
            self.counts.append(0)
            self.first.append(row)
            self._characters += len(text)
            if len(self.counts) > MOST or self._characters > _MOST_TEXT:
                raise DataError(
                    f"{self.path}: column {self._name!r} holds more than {len(self.counts) - 1:,} "
                    "different labels, so they are ids or captions, not classes; name another "
                    "column with --label-column"
                )
        self.counts[code] += number
        return code

    def _note_spaces(self, values: Any, texts: Any, numbers: NDArray[np.int32]) -> None:
        """Note labels that were written with spaces around them."""
        if not _is_text(values.type):
            return
        written = values.cast(pa.large_string())
        differ = pc.fill_null(pc.not_equal(written, texts), False).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(differ)
        for code, at, number in zip(*_occurring(numbers[rows]), strict=True):
            row = int(rows[at])
            count, *first = self.spaced.get(code, (0, self._rows + row, written[row].as_py()))
            self.spaced[code] = (count + number, first[0], first[1])


def as_text(path: Path, values: Any) -> Any:
    """Turn values of any type into text without spaces around it; empty ones into null.

    Raises:
        DataError: they are neither text nor numbers.
    """
    kind = values.type
    if pa.types.is_boolean(kind):
        values = pc.if_else(values, "True", "False")
    elif pa.types.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), None, values).cast(pa.float64())
    elif not (_is_text(kind) or _is_number(kind) or pa.types.is_null(kind)):
        raise DataError(
            f"{path}: labels are of type {type_name(kind)}; write class numbers 0, 1, 2, ... or "
            "names"
        )
    values = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
    return pc.if_else(pc.equal(values, ""), None, values)


def _occurring(numbers: NDArray[np.int32]) -> tuple[list[int], list[int], list[int]]:
    found, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    return found.tolist(), first.tolist(), counts.tolist()


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))
