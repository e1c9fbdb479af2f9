"""Decide what the labels of a table mean: class numbers from 0, or names of classes.

A column means the same in a CSV and in Parquet: `1`, `1.0` and ` 1` are class 1, an empty cell, NaN
and the words of a missing value are no label. One odd value never turns numbers into names.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hpc_xfer.compute.shard_tools import class_names
from hpc_xfer.compute.shard_tools.tables.text_rows import quoted
from hpc_xfer.errors import DataError, StudyError

LabelKind = Literal["numbers", "names"]
# What pandas, SQL and Python write where a value is missing.
MISSING = ("nan", "NaN", "NAN", "null", "NULL", "None", "<NA>")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_CODE = re.compile(r"0[0-9]+|[0-9]+[eE][0-9]+", re.ASCII)  # 007, 12e4: numbers of nobody
_CURE = "write 0, 1, 2, ..., or leave it empty"


class Labels(NamedTuple):
    """The labels of a table."""

    numbers: Any  # pyarrow array of whole numbers, null where a label is missing
    classes: tuple[str, ...] | None
    captions: Any | None  # the names, where they are words
    notes: tuple[str, ...]


def read(
    path: Path,
    values: Any,
    kind: LabelKind | None = None,
    noted: tuple[str, ...] | None = None,
) -> Labels:
    """Read a column of labels.

    Args:
        path: of the table; `classes.json` beside it may name the classes.
        kind: None: as the values show.
        noted: names of classes that the table itself notes for numbers.

    Raises:
        StudyError: only the user knows whether numbers or names are meant.
        DataError: a label is neither.
    """
    written, values = values, _as_text(path, values)
    notes: tuple[str, ...] = ()
    if kind != "names":
        missing = pc.is_in(values, pa.array(MISSING, values.type))
        values, notes = without(values, missing, "label", "; --labels names keeps them as names")
    counts = Counter(dict(zip(*_counted(values), strict=True)))
    numbers = {text: value for text in counts if (value := _number(text)) is not None}
    if kind is None:
        _check_kind(path, values, counts, numbers)
        kind = "numbers" if numbers else "names"
    if kind == "names":
        return _names(path, values, counts, notes + _on_spaces(written, values))
    return _numbers(path, values, counts, numbers, noted, notes)


def without(values: Any, words: Any, what: str, keep: str = "") -> tuple[Any, tuple[str, ...]]:
    """Turn words for a missing value into nulls, and say how many there are.

    Args:
        words: true where a value is such a word.
        what: the values are.
        keep: the way to keep them, for the sentence.
    """
    number = pc.sum(words).as_py() or 0
    if not number:
        return values, ()
    row = pc.index(words, True).as_py()
    are = "is a word" if number == 1 else "are words"
    count = "counts" if number == 1 else "count"
    note = (
        f"{number:,} {what}{'s' * (number > 1)} {are} for a missing value, the first "
        f"{values[row].as_py()!r} in row {row + 1:,}, and {count} as missing{keep}"
    )
    return pc.if_else(words, None, values), (note,)


def _as_text(path: Path, values: Any) -> Any:
    """Turn values of any type into text without spaces around it; empty ones into null."""
    kind = values.type
    if pa.types.is_boolean(kind):
        values = pc.if_else(values, "True", "False")
    elif pa.types.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), None, values).cast(pa.float64())
    elif not (_is_text(kind) or _is_number(kind) or pa.types.is_null(kind)):
        raise DataError(
            f"{path}: labels are of type {kind}; write class numbers 0, 1, 2, ... or names"
        )
    values = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
    return pc.if_else(pc.equal(values, ""), None, values)


def _on_spaces(written: Any, values: Any) -> tuple[str, ...]:
    """Say how many names were written with spaces around them: `cat ` is `cat` now."""
    if not _is_text(written.type):
        return ()
    spaced = pc.not_equal(written.cast(pa.large_string()), values)
    number = pc.sum(spaced).as_py() or 0
    if not number:
        return ()
    row = pc.index(spaced, True).as_py()
    names = "1 name has spaces" if number == 1 else f"{number:,} names have spaces"
    return (f"{names} around, the first {written[row].as_py()!r} in row {row + 1:,}: left out",)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _counted(values: Any) -> tuple[list[str], list[int]]:
    counted = pc.value_counts(values.drop_null())
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _check_kind(path: Path, values: Any, counts: Counter[str], numbers: dict[str, float]) -> None:
    """Refuse labels of which some are numbers and some are not, or that may be codes."""
    if not numbers:
        return
    if names := sorted(counts.keys() - numbers.keys()):
        n = sum(counts[text] for text in numbers)
        raise StudyError(
            f"{path}: labels are numbers in {_rows(n)}, first {_first(values, list(numbers))}, and "
            f"names in {_rows(sum(counts[text] for text in names))}, first "
            f"{_first(values, names)}; correct them, or give --labels names if all are names"
        )
    if codes := [text for text in numbers if _CODE.fullmatch(text)]:
        raise StudyError(
            f"{path}: the label {_first(values, codes)} can be a number or a name; give --labels "
            "numbers or --labels names"
        )


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def _first(values: Any, texts: Sequence[str]) -> str:
    """Quote the first of these texts, with its row."""
    row = pc.index(pc.is_in(values, pa.array(texts, values.type)), True).as_py()
    return f"{quoted(values[row].as_py())} in row {row + 1:,}"


def _names(path: Path, values: Any, counts: Counter[str], notes: tuple[str, ...]) -> Labels:
    names = class_names.load(path.parent, set(counts))
    folded = Counter(name.casefold() for name in counts)
    if same := sorted(name for name in counts if folded[name.casefold()] > 1):
        notes += (
            f"classes {quoted(same[0])} and {quoted(same[1])} differ in capital letters only",
        )
    numbers = pc.index_in(values, pa.array(names or (), values.type))
    is_words = any(_number(name) is None for name in counts)
    used = set(pc.unique(numbers).to_pylist())
    return Labels(numbers, names, values if is_words else None, notes + _unused(names, used))


def _numbers(
    path: Path,
    values: Any,
    counts: Counter[str],
    numbers: dict[str, float],
    noted: tuple[str, ...] | None,
    notes: tuple[str, ...],
) -> Labels:
    def refuse(texts: list[str], why: str) -> None:
        if texts:
            rows = sum(counts[text] for text in texts)
            more = f" ({rows:,} rows have such labels)" if rows > 1 else ""
            raise DataError(f"{path}: the label {_first(values, texts)} {why}{more}; {_CURE}")

    refuse([text for text in counts if text not in numbers], "is not a number")
    refuse([text for text in numbers if numbers[text] < 0], "is below 0")
    refuse([text for text in numbers if numbers[text] % 1], "is not a whole number")
    refuse([text for text in numbers if numbers[text] >= 2**53], "is too high")
    whole = {text: int(value) for text, value in numbers.items()}
    most = 1 + max(whole.values(), default=-1)
    if noted is not None and most > len(noted):
        raise DataError(
            f"{path}: names {len(noted):,} classes, but there is a class {most - 1:,}; correct it"
        )
    classes = noted or class_names.load(path.parent, most)
    found = pc.index_in(values, pa.array(list(whole), values.type))
    labels = pa.array(list(whole.values()), pa.int64()).take(found)
    captions = None
    if noted and any(_number(name) is None for name in noted):
        captions = pa.array(noted, pa.large_string()).take(labels)
    return Labels(labels, classes, captions, notes + _unused(classes, set(whole.values())))


def _unused(classes: tuple[str, ...] | None, used: set[int]) -> tuple[str, ...]:
    """Say which classes have no row."""
    names = classes or ()
    unused = [number for number in range(len(names)) if number not in used]
    if not unused:
        return ()
    if unused == [0] and len(names) > 1:
        return (f"no row has class 0 ({quoted(names[0])}): classes seem to be numbered from 1",)
    first = quoted(names[unused[0]])
    return (f"{len(unused):,} of {len(names):,} classes have no row, the first {first}",)
