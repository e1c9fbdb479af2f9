"""Turn the values of a caption column into texts, a batch of rows at a time."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hpc_xfer.compute.shard_tools.tables.missing_words import MissingWords
from hpc_xfer.compute.shard_tools.tables.text_rows import type_name
from hpc_xfer.compute.shards import captions
from hpc_xfer.errors import DataError

Column = Any  # a pyarrow.Array, which has no annotations


class CaptionColumn:
    """Captions, and what is odd about those that were seen."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._missing = MissingWords("caption")
        self._seen = 0
        self._all_numbers = True
        self._most = 0  # captions of an image
        self.are_lists = False  # the texts are JSON then

    def texts(self, values: Column) -> Column:
        """Return captions as large strings, null where there is none; lists of them as JSON.

        Raises:
            DataError: the column holds something else.
        """
        kind = values.type
        if pa.types.is_large_list(kind) and pa.types.is_large_string(kind.value_type):
            self.are_lists = True
            return self._of_lists(values)
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not (number or pa.types.is_large_string(kind)):
            raise DataError(
                f"{self._path}: column {self._name!r} holds {type_name(kind)}, not captions; name "
                "a column of text, or of lists of text, with --caption-column"
            )
        texts = values.cast(pa.large_string())
        words = pc.and_(_stand_for_none(texts), pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
        texts = self._missing.without(texts, words)
        self._seen += len(texts) - texts.null_count
        if self._all_numbers:
            numbers = pc.match_substring_regex(texts, r"^\s*[+-]?[0-9.]+\s*$")
            self._all_numbers = pc.all(numbers).as_py() is not False
        return texts

    @property
    def notes(self) -> tuple[str, ...]:
        if self.are_lists:
            note = (
                f"images have up to {self._most:,} captions: the first is in txt, and all are in "
                "the json, under captions"
            )
            return (note,) if self._most > 1 else ()
        if not (self._seen and self._all_numbers):
            return self._missing.notes
        return (
            *self._missing.notes,
            f"all captions in column {self._name!r} are numbers; give a column of text with "
            "--caption-column, or name this one with --label-column",
        )

    def _of_lists(self, values: Column) -> Column:
        missing = pc.fill_null(_stand_for_none(values.flatten()), True)
        of = pc.list_parent_indices(values).filter(pc.invert(missing))
        self._most = max(self._most, pc.max(pc.value_counts(of).field("counts")).as_py() or 0)
        each = (None if found is None else json.dumps(found) for found in values.to_pylist())
        return pa.array(each, pa.large_string())


def _stand_for_none(texts: Column) -> Column:
    """Return which texts are no captions, as the loaders tell them; null where there is none."""
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    words = pa.array(["", *sorted(captions.NONE)], plain.type)
    return pc.if_else(pc.is_valid(plain), pc.is_in(plain, words), None)
