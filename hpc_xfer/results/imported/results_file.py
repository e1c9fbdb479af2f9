"""Read a CSV of results and name everything that is wrong in it, at once.

One row per result, columns by name, separated by commas, semicolons or tabs.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hpc_xfer.config.schema import LARGEST_COUNT, nearest
from hpc_xfer.errors import StudyError
from hpc_xfer.results.imported.imported_result import (
    CELL,
    COUNTS,
    ENCODER,
    NOTE,
    REQUIRED,
    SHARES,
    TUNED,
    ImportedResult,
)
from hpc_xfer.results.tables.spreadsheet_cells import original
from hpc_xfer.system import atomic_files
from hpc_xfer.system.atomic_files import OddFile

_MOST_BYTES = 256 * 1024**2  # a million results have 100 MB
MOST_TOLD = 20  # errors; a wrong column is wrong in every row
_KNOWN = (*ENCODER, *CELL, *SHARES, *COUNTS)
T = TypeVar("T")


@dataclass(frozen=True)
class ResultsFile:
    """The rows of one file: results, and a sentence for each error in the others."""

    results: tuple[ImportedResult, ...]
    wrong: tuple[str, ...]
    unused: Mapping[str, int]  # column that no table uses -> its values


@dataclass(frozen=True)
class _Columns:
    names: tuple[str, ...]
    tuned: tuple[str, ...]
    unused: tuple[str, ...]


def read_results(path: Path, percent: bool = False, tuned: Collection[str] = ()) -> ResultsFile:
    """Read a file as users have it.

    Args:
        percent: accuracies are percent; otherwise they are shares from 0 to 1.
        tuned: columns of tuned values beside those that are known (`TUNED`).

    Raises:
        StudyError: it is no CSV, or lacks a column; errors in rows are returned.
    """
    header, rows = _table(path)
    names = [name.strip() for name in header]
    others = [name for name in names if name and name not in _KNOWN]
    chosen = tuple(name for name in others if name in tuned or name in TUNED)
    refuse(path, [f"{path}:1: {sentence}" for sentence in _wrong_header(names, tuned)])
    columns = _Columns(tuple(names), chosen, tuple(n for n in others if n not in chosen))
    read = _rows(path, columns, rows, percent)
    unused = Counter(name for result in read.results for name, _ in result.notes)
    return replace(read, unused={name: unused[name] for name in columns.unused})


def read_stored(path: Path) -> tuple[ImportedResult, ...]:
    """Read a file as `import` wrote it.

    Raises:
        StudyError: it was changed since, or is damaged.
    """
    header, rows = _table(path)
    others = [name for name in header if name not in _KNOWN]
    tuned = tuple(name for name in others if not name.startswith(NOTE))
    columns = _Columns(tuple(header), tuned, tuple(n for n in others if n not in tuned))
    wrong = [f"{path}:1: {sentence}" for sentence in _wrong_header(header, ())]
    read = ResultsFile((), (), {}) if wrong else _rows(path, columns, rows, percent=False)
    if errors := [*wrong, *read.wrong]:
        raise StudyError(f"{errors[0]}; the stored copy is damaged: import the original again")
    return read.results


def refuse(path: Path, errors: Sequence[str]) -> None:
    """Raise the first errors and their number, if there are any.

    Raises:
        StudyError: there are.
    """
    if not errors:
        return
    told = list(errors[:MOST_TOLD])
    if len(errors) > MOST_TOLD:
        told.append(f"{path}: {len(errors):,} errors in all, of which these are the first")
    raise StudyError(*told, f"{path}: nothing was imported")


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the header and the rows with their line numbers; empty lines are left out."""
    try:
        text = atomic_files.read_bytes(path, _MOST_BYTES, follow=True).decode("utf-8-sig")
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file; name an existing CSV") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path}: is not a UTF-8 text file; save it as CSV in UTF-8") from None
    except OddFile as odd:
        raise StudyError(f"{path}: {odd}, so it cannot be taken in; name a CSV") from None
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); name a CSV") from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        lines = [
            (reader.line_num, list(map(original, row)))
            for row in reader
            if any(field.strip() for field in row)
        ]
    except csv.Error as error:
        way = "fix that line, or a quote before it that is not closed"
        raise StudyError(f"{path}:{reader.line_num}: is not CSV ({error}); {way}") from None
    if len(lines) < 2:
        raise StudyError(f"{path}: has no rows; write a line of column names, then one per result")
    return lines[0][1], lines[1:]


def _wrong_header(names: Sequence[str], tuned: Collection[str]) -> Iterator[str]:
    for name in REQUIRED:
        if name not in names:
            others = [n for n in names if n and n not in _KNOWN]
            hint = f"; {nearest(name, others, 'the columns are')}" if others else ""
            yield f"has no column {name}, which is needed{hint}"
    if "label" not in names and "method" not in names:
        yield "has neither a column label nor a column method, so nothing names the pre-training"
    for name, count in Counter(names).items():
        if count > 1 and name:
            yield f"has {count} columns {name}; keep one"
    for name in tuned:
        if name not in names:
            yield f"has no column {name}, which --tuned names"
        elif name in _KNOWN:
            yield f"the column {name} cannot be tuned; leave it out of --tuned"


def _rows(
    path: Path, columns: _Columns, rows: Sequence[tuple[int, list[str]]], percent: bool
) -> ResultsFile:
    results: list[ImportedResult] = []
    wrong: list[str] = []
    for line, values in rows:
        place = f"{path}:{line}"
        if len(values) != len(columns.names):
            found = f"has {len(values)} values for {len(columns.names)} columns"
            wrong.append(f"{place}: {found}; write one for each, empty where there is none")
            continue
        fields = _Fields(place, dict(zip(columns.names, map(str.strip, values), strict=True)))
        result = _result(fields, columns, 100.0 if percent else 1.0)
        wrong += fields.wrong
        if not fields.wrong:
            results.append(result)
    if percent and results and not wrong and all(r.test_top1 <= 0.01 for r in results):
        wrong.append(f"{path}: no accuracy is above 1, so these are shares; leave --percent out")
    return ResultsFile(tuple(results), tuple(wrong), {})


def _result(fields: "_Fields", columns: _Columns, whole: float) -> ImportedResult:
    """Make a result; of a wrong field some value, since `fields.wrong` refuses the row."""
    tuned = ((name, fields.number(name)) for name in columns.tuned)
    return ImportedResult(
        **{name: fields.text(name) for name in ("label", "method", "arch", "source")},
        samples=fields.count("samples"),
        samples_seen=fields.count("samples_seen"),
        seed=fields.place_number("seed", ""),
        dataset=fields.needed("dataset"),
        shots=fields.shots(),
        draw=fields.place_number("draw", "0"),
        mode=fields.needed("mode"),
        val_top1=fields.share("val_top1", whole),
        test_top1=fields.share("test_top1", whole, needed=True) or 0.0,
        test_top5=fields.share("test_top5", whole),
        n_test=fields.count("n_test"),
        labels=fields.count("labels"),
        tuned=tuple((name, value) for name, value in tuned if value is not None),
        notes=tuple(
            (name.removeprefix(NOTE), fields.row[name])
            for name in columns.unused
            if fields.row[name]
        ),
        place=fields.place,
    )


class _Fields:
    """The fields of one row, read by name; `wrong` collects a sentence per error."""

    def __init__(self, place: str, row: Mapping[str, str]) -> None:
        self.place = place
        self.row = row
        self.wrong: list[str] = []

    def text(self, name: str) -> str:
        return self.row.get(name, "")

    def needed(self, name: str) -> str:
        if not self.text(name):
            self._fail(name, "is empty; give it a value")
        return self.text(name)

    def number(self, name: str) -> float | None:
        way = "; a setting in words belongs in the mode"
        return self._read(name, _number, "a number", way)

    def count(self, name: str) -> int | None:
        return self._read(name, _positive, "a whole number above 0, in digits")

    def place_number(self, name: str, default: str) -> str:
        """Read a seed or a draw."""
        found = self._read(name, _whole, "a whole number of 0 or more")
        return default if found is None else str(found)

    def shots(self) -> str:
        text = self.needed("shots").lower()
        if text in ("", "full"):
            return text
        found = self._read("shots", _whole, "a number of images per class, or full")
        return str(found)

    def share(self, name: str, whole: float, needed: bool = False) -> float | None:
        """Read an accuracy; `whole` is 1 for shares and 100 for percent."""
        if needed:
            self.needed(name)
        value = self._read(name, _number, "a number", _way_to_a_number(self.text(name)))
        if value is None:
            return None
        if 1 < value <= 100 and whole == 1:
            self._fail(name, f"{value:g} is above 1; give --percent if accuracies are percent")
        elif not 0 <= value <= whole:
            self._fail(name, f"{value:g} is not an accuracy from 0 to {whole:g}")
        return float(f"{value / whole:.12g}")

    def _read(self, name: str, convert: Callable[[str], T], wanted: str, way: str = "") -> T | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return convert(text)
        except ValueError:
            self._fail(name, f"must be {wanted}, got {text!r}{way}")
            return None

    def _fail(self, name: str, why: str) -> None:
        self.wrong.append(f"{self.place}: {name}: {why}")


def _way_to_a_number(text: str) -> str:
    """Say what is to be done about an accuracy that is no number."""
    if re.fullmatch(r"\d*,\d+", text):
        return "; write a decimal point"
    if re.fullmatch(r"[\d.]+ *%", text):
        return "; write numbers alone, and give --percent"
    return "; leave out a row without a result"


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    """Read 5, 5.0 (as spreadsheets write it), 2.7e6 or 2_700_000."""
    value = _number(text)
    if not value.is_integer() or not 0 <= value <= LARGEST_COUNT:
        raise ValueError(text)
    return int(value)


def _positive(text: str) -> int:
    value = _whole(text)
    if not value:
        raise ValueError(text)
    return value
