"""Decide what the labels of a table mean: class numbers from 0, or names of classes.

A column means the same in a CSV and in Parquet: `1`, `1.0` and ` 1` are class 1, an empty cell, NaN
and the words of a missing value are no label. One odd value never turns numbers into names.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from hpc_xfer.compute.shard_tools import class_names
from hpc_xfer.compute.shard_tools.tables import missing_words
from hpc_xfer.compute.shard_tools.tables.label_counts import LabelCounts
from hpc_xfer.compute.shard_tools.tables.text_rows import quoted
from hpc_xfer.errors import DataError, StudyError

LabelKind = Literal["numbers", "names"]
# What pandas, SQL and Python write where a value is missing.
MISSING = ("nan", "NaN", "NAN", "null", "NULL", "None", "<NA>")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_CODE = re.compile(r"0[0-9]+|[0-9]+[eE][0-9]+", re.ASCII)  # 007, 12e4: numbers of nobody
_CURE = "write 0, 1, 2, ..., or leave it empty"


class Labels(NamedTuple):
    """The labels of a table, by the code that LabelCounts gave to each different one."""

    numbers: list[int | None]  # None: a word for a missing value
    classes: tuple[str, ...] | None
    captions: list[str | None] | None  # the names, where they are words
    notes: tuple[str, ...]


def read(
    found: LabelCounts, kind: LabelKind | None = None, noted: tuple[str, ...] | None = None
) -> Labels:
    """Decide what the labels of a column mean; `classes.json` beside the table may name them.

    Args:
        kind: None: as the values show.
        noted: names of classes that the table itself notes for numbers.

    Raises:
        StudyError: only the user knows whether numbers or names are meant.
        DataError: a label is neither.
    """
    texts = list(found.codes)
    notes: tuple[str, ...] = ()
    if kind != "names":
        if missing := [text for text in MISSING if text in found.codes]:
            keep = "; --labels names keeps them as names"
            first, row = found.first_of(missing)
            notes = (missing_words.sentence(found.rows(missing), "label", first, row, keep),)
        texts = [text for text in texts if text not in MISSING]
    numbers = {text: value for text in texts if (value := _number(text)) is not None}
    if kind is None:
        _check_kind(found, texts, numbers)
        kind = "numbers" if numbers else "names"
    if kind == "names":
        return _names(found, texts, notes + _on_spaces(found, texts))
    return _numbers(found, texts, numbers, noted, notes)


def _on_spaces(found: LabelCounts, texts: Sequence[str]) -> tuple[str, ...]:
    """Say how many names were written with spaces around them: `cat ` is `cat` now."""
    spaced = [found.spaced[code] for text in texts if (code := found.codes[text]) in found.spaced]
    if not spaced:
        return ()
    number = sum(count for count, _, _ in spaced)
    row, written = min((row, written) for _, row, written in spaced)
    names = "1 name has spaces" if number == 1 else f"{number:,} names have spaces"
    return (f"{names} around, the first {written!r} in row {row + 1:,}: left out",)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _check_kind(found: LabelCounts, texts: Sequence[str], numbers: dict[str, float]) -> None:
    """Refuse labels of which some are numbers and some are not, or that may be codes."""
    if not numbers:
        return
    if names := [text for text in texts if text not in numbers]:
        raise StudyError(
            f"{found.path}: labels are numbers in {_rows(found.rows(numbers))}, first "
            f"{found.quote_first(numbers)}, and names in {_rows(found.rows(names))}, first "
            f"{found.quote_first(names)}; correct them, or give --labels names if all are names"
        )
    if codes := [text for text in numbers if _CODE.fullmatch(text)]:
        raise StudyError(
            f"{found.path}: the label {found.quote_first(codes)} can be a number or a name; give "
            "--labels numbers or --labels names"
        )


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def _names(found: LabelCounts, texts: Sequence[str], notes: tuple[str, ...]) -> Labels:
    names = class_names.load(found.path.parent, set(texts))
    folded = Counter(name.casefold() for name in texts)
    if same := sorted(name for name in texts if folded[name.casefold()] > 1):
        notes += (
            f"classes {quoted(same[0])} and {quoted(same[1])} differ in capital letters only",
        )
    number_of = {name: number for number, name in reversed(list(enumerate(names or ())))}
    numbers = [number_of.get(text) for text in found.codes]
    is_words = any(_number(name) is None for name in texts)
    kept = frozenset(texts)
    captions = [text if text in kept else None for text in found.codes]
    used = {number for number in numbers if number is not None}
    return Labels(numbers, names, captions if is_words else None, notes + _unused(names, used))


def _numbers(
    found: LabelCounts,
    texts: Sequence[str],
    numbers: dict[str, float],
    noted: tuple[str, ...] | None,
    notes: tuple[str, ...],
) -> Labels:
    def refuse(odd: list[str], why: str) -> None:
        if odd:
            rows = found.rows(odd)
            more = f" ({rows:,} rows have such labels)" if rows > 1 else ""
            raise DataError(
                f"{found.path}: the label {found.quote_first(odd)} {why}{more}; {_CURE}"
            )

    refuse([text for text in texts if text not in numbers], "is not a number")
    refuse([text for text in numbers if numbers[text] < 0], "is below 0")
    refuse([text for text in numbers if numbers[text] >= 2**53], "is too high")
    refuse([text for text in numbers if numbers[text] % 1], "is not a whole number")
    whole = {text: int(value) for text, value in numbers.items()}
    most = 1 + max(whole.values(), default=-1)
    if noted is not None and most > len(noted):
        raise DataError(
            f"{found.path}: names {len(noted):,} classes, but there is a class {most - 1:,}; "
            "correct it"
        )
    classes = noted or class_names.load(found.path.parent, most)
    labels = [whole.get(text) for text in found.codes]
    captions = None
    if noted and any(_number(name) is None for name in noted):
        captions = [None if label is None else noted[label] for label in labels]
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
