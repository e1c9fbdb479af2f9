"""The CSV files of a study: fixed columns and decimals, the same rows give the same bytes.

Numbers that may be far below 1 have six digits that count instead: factors and probabilities.
An empty cell is a number that was not measured; it is never 0. A text that a spreadsheet would run
as a formula has an apostrophe before it in the file, which is no part of it; see
spreadsheet_cells.py.
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
from hpc_xfer.results.tables.spreadsheet_cells import guarded, original
from hpc_xfer.system import atomic_files
from hpc_xfer.system.atomic_files import OddFile

_END = "\r\n"  # of rows while they are made; see _RowsText
_NEEDS_QUOTES = frozenset(',"\r\n')  # letters in a cell
_MOST_BYTES = 1 << 30  # of a table; runs.csv of 40,000 runs has 30 MB


class FixedNumber(str):
    """A number as `fixed` formats it: no spreadsheet takes it for a formula."""

    __slots__ = ()


Row = Mapping[str, str]
Table = tuple[Sequence[str], Iterable[Mapping[str, object]]]  # columns and rows
T = TypeVar("T")


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
        known, lines = set(columns), []
        for row in rows:
            if extra := row.keys() - known:
                raise ValueError(f"the table has no column {', '.join(sorted(extra))}")
            lines.append(_line(map(row.get, columns)))
        return cls(tuple(columns), "".join(lines))

    @property
    def whole(self) -> str:
        """The text with its header."""
        return _line(self.columns) + self.text

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows as `read` gives them."""
        lines = csv.reader(io.StringIO(self.text, newline=""))
        return [dict(zip(self.columns, map(original, line), strict=True)) for line in lines]

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
        text = _RowsText()
        lines = csv.reader(io.StringIO(self.text, newline=""))
        place = {name: i for i, name in enumerate(self.columns)}
        picked = operator.itemgetter(*(place.get(name, -1) for name in columns), -1)
        # Each line gets an empty cell at its end: the place of columns that it lacks.
        rows = (picked([*line, ""])[:-1] for line in lines)
        csv.writer(text, lineterminator=_END).writerows(rows)
        return Lines(tuple(columns), text.text)


def _line(values: Iterable[object]) -> str:
    """Make a row as the csv module does, in two thirds of its time: numbers need no quotes."""
    cells = [
        "" if v is None
        else v if v.__class__ is FixedNumber
        else (v if v.isalnum() else _quoted(v)) if v.__class__ is str
        else str(v) if v.__class__ is int or v.__class__ is float
        else _quoted(cell(v))
        for v in values
    ]  # fmt: skip
    return ",".join(cells) + "\n" if cells != [""] else '""\n'  # an empty line is no row


# A study of 40,000 runs has a million texts, of which most are the same few words.
@functools.lru_cache(1 << 16)
def _quoted(text: str) -> str:
    """Write a text as a cell (RFC 4180, 2); a spreadsheet takes it for no formula."""
    text = guarded(text)
    return text if _NEEDS_QUOTES.isdisjoint(text) else '"' + text.replace('"', '""') + '"'


class _RowsText:
    """Keeps what csv writes, with its line ends as those of Unix.

    csv quotes a carriage return in a cell only where it is part of the line end.
    """

    def __init__(self) -> None:
        self._rows: list[str] = []

    def write(self, row: str) -> None:
        self._rows.append(row[: -len(_END)])

    @property
    def text(self) -> str:
        return "".join(f"{row}\n" for row in self._rows)


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table, whole or not at all; a column that a row lacks is an empty cell.

    Raises:
        StoreError: the folder cannot be written.
        ValueError: a row has a column that the table does not have.
    """
    write_lines(path, Lines.of(columns, rows))


def as_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Format a table as `write` writes it."""
    return Lines.of(columns, rows).whole


def write_lines(path: Path, lines: Lines) -> None:
    """Write a table from its rows as text, whole or not at all.

    Raises:
        StoreError: the folder cannot be written.
    """
    # Half a character (a lone surrogate), which no file can hold, is written as an escape.
    atomic_files.write_bytes(path, lines.whole.encode("utf-8", "backslashreplace"))


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a table, in its order.

    Raises:
        StoreError: the file does not exist yet, or is not a table.
    """
    try:
        text = atomic_files.read_bytes(path, _MOST_BYTES).decode()
        lines = csv.reader(io.StringIO(text, newline=""))
        columns = [original(name) for name in next(lines, [])]
        return [dict(zip(columns, map(original, line), strict=True)) for line in lines if line]
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"{path}: not found; run `python -m hpc_xfer.collect` on the grid first"
        ) from None
    except OddFile as odd:
        raise StoreError(f"{path}: {odd}, not a table; remove it, then collect again") from None
    except PermissionError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror}); let its owner give you the right to"
        ) from None
    except (csv.Error, ValueError):  # not UTF-8, a cell of a megabyte, a row of another length
        raise StoreError(
            f"{path}: is not a table of this program; run `python -m hpc_xfer.collect` again"
        ) from None


def columns(path: Path) -> list[str]:
    """Read the names of the columns alone, of a table that `read` has read."""
    with open(atomic_files.open_plainly(path), newline="", encoding="utf-8") as file:
        return [original(name) for name in next(csv.reader(file), [])]


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
    return FixedNumber(f"{value:.6f}" if decimals == 6 else f"{value:.{decimals}f}")


def significant(value: float | None) -> str:
    """Format a factor or a probability, which may be far below 1, with six digits that count."""
    if value is None or value == 0 or not abs(value) < 0.1:
        return fixed(value)
    return FixedNumber(f"{value:.6g}")


def number(text: str) -> float | None:
    """Read a number back; empty is None."""
    return float(text) if text else None
