"""The CSV files of a study: fixed columns, fixed decimals, the same rows give the same bytes.

An empty cell is a number that was not measured; it is never 0.
"""

import csv
import functools
import io
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from hpc_xfer.errors import StoreError
from hpc_xfer.system import atomic_files

Row = Mapping[str, str]
Table = tuple[Sequence[str], Iterable[Mapping[str, object]]]  # columns and rows
T = TypeVar("T")
_MOST_BYTES = 1 << 30  # of a table; that of 40,000 runs has 30 MB


@dataclass(frozen=True)
class Lines:
    """Rows of a table as text, without its header."""

    columns: tuple[str, ...]
    text: str = ""

    @classmethod
    def of(cls, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> "Lines":
        """Format rows; a column that a row lacks is an empty cell.

        Raises:
            ValueError: a row has a column that the table does not have.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        known = set(columns)
        for row in rows:
            if extra := row.keys() - known:
                raise ValueError(f"the table has no column {', '.join(sorted(extra))}")
            # csv writes None as nothing, and numbers as str does.
            cells = map(row.get, columns)
            writer.writerow([cell(v) if v is True or v is False else v for v in cells])
        return cls(tuple(columns), text.getvalue())

    @property
    def whole(self) -> str:
        """The text with its header."""
        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow(self.columns)
        return header.getvalue() + self.text

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows as `read` gives them."""
        lines = csv.reader(io.StringIO(self.text, newline=""))
        return [dict(zip(self.columns, line, strict=True)) for line in lines]

    def __add__(self, other: "Lines") -> "Lines":
        """Append rows; the columns are those of the first."""
        return Lines(self.columns, self.text + other.laid_out(self.columns).text)

    def without_empty(self, optional: Collection[str]) -> "Lines":
        """Leave out the optional columns that are empty in every row."""
        filled = {name for row in self.rows for name in optional if row.get(name)}
        return self.laid_out([c for c in self.columns if c in filled or c not in optional])

    def laid_out(self, columns: Sequence[str]) -> "Lines":
        """Return the rows with these columns; those that they lack are empty."""
        if self.columns == tuple(columns) or not self.text:
            return Lines(tuple(columns), self.text)
        text = io.StringIO()
        lines = csv.reader(io.StringIO(self.text, newline=""))
        place = {name: i for i, name in enumerate(self.columns)}
        picked = operator.itemgetter(*(place.get(name, -1) for name in columns), -1)
        # Each line gets an empty cell at its end: the place of columns that it lacks.
        rows = (picked([*line, ""])[:-1] for line in lines)
        csv.writer(text, lineterminator="\n").writerows(rows)
        return Lines(tuple(columns), text.getvalue())


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table, whole or not at all; a column that a row lacks is an empty cell.

    Raises:
        StoreError: the folder cannot be written.
        ValueError: a row has a column that the table does not have.
    """
    atomic_files.write_text(path, as_text(columns, rows))


def as_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Format a table as `write` writes it."""
    return Lines.of(columns, rows).whole


def write_lines(path: Path, lines: Lines) -> None:
    """Write a table from its rows as text, whole or not at all.

    Raises:
        StoreError: the folder cannot be written.
    """
    atomic_files.write_text(path, lines.whole)


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a table, in its order.

    Raises:
        StoreError: the file does not exist yet.
    """
    try:
        text = atomic_files.read_bytes(path, _MOST_BYTES, follow=True).decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (ValueError, csv.Error) as error:
        raise StoreError(
            f"{path}: cannot be read ({error}); remove it, then run `python -m hpc_xfer.collect`"
        ) from None
    except FileNotFoundError:
        raise StoreError(
            f"{path}: not found; run `python -m hpc_xfer.collect` on the grid first"
        ) from None


def typed(kind: Callable[..., T], row: Row, **known: object) -> T:
    """Build a dataclass from a row: a field is read from the column of its name, as its type.

    Args:
        kind: the dataclass; its fields are str, Literal, int, float, or one of these or None.
        row: may have other columns too.
        known: fields that are not columns.

    Raises:
        StoreError: the row lacks a column, and its field has no default.
    """
    readers = {n: r for n, r in _readers(kind).items() if n in row or n not in _optional(kind)}
    if lacks := [name for name in readers if name not in known and name not in row]:
        raise StoreError(
            f"the tables have no column {', '.join(lacks)}; run `python -m hpc_xfer.collect` again"
        )
    return kind(**known, **{n: read(row[n]) for n, read in readers.items() if n not in known})


@functools.cache
def _optional(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if field.default is not MISSING)


@functools.cache
def _readers(kind: Callable[..., object]) -> dict[str, Callable[[str], object]]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items()}


def _reader(hint: Any) -> Callable[[str], object]:
    if hint is str or get_origin(hint) is Literal:
        return str
    options = get_args(hint) or (hint,)
    convert: Callable[[str], object] = next(kind for kind in options if kind is not NoneType)
    return lambda text: None if not text and NoneType in options else convert(text)


def without_empty(
    columns: Sequence[str], rows: Sequence[Mapping[str, object]], optional: Collection[str]
) -> Table:
    """Leave out the optional columns that are empty in every row."""
    filled = {name for row in rows for name in optional if row.get(name) not in ("", None)}
    empty = set(optional) - filled
    kept = [name for name in columns if name not in empty]
    return kept, [{name: row[name] for name in row if name not in empty} for row in rows]


def cell(value: object) -> str:
    """Format a setting: None is empty, True is true, 0.0003 stays as it was written."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def fixed(value: float | None, decimals: int = 6) -> str:
    """Format a measured number with fixed decimals; None is empty."""
    if value is None:
        return ""
    # A constant format takes half the time, and a study of 40,000 runs has 900,000 such numbers.
    return f"{value:.6f}" if decimals == 6 else f"{value:.{decimals}f}"


def number(text: str) -> float | None:
    """Read a number back; empty is None."""
    return float(text) if text else None
