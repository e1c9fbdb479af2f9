"""A table of the page: cells of text, each with the number that it is sorted by.

    columns = (choice("mode", lambda gap: gap.mode), signed("a - b", lambda gap: gap.difference))
    table = page_table("Gaps", columns, gaps)

The template and its script know nothing else of a table.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hpc_xfer.results.answers.terms import FULL

T = TypeVar("T")  # a row of a CSV
NOTHING = "—"  # was not measured, or cannot be said
_COVERS = {
    "sets": "data sets",
    "E1": "draws",
    "E2": "seeds, draws",
}  # target of an interval -> column `covers`


@dataclass(frozen=True)
class PageCell:
    """One cell; without a number it is sorted by its text, and a missing one comes last."""

    text: str
    number: float | None = None
    mark: str = ""  # a sign after the text, see the legend of its table

    @property
    def sort_value(self) -> str:
        """Return the number as JavaScript reads it; empty without one."""
        if self.number is None or math.isnan(self.number):
            return ""
        if math.isinf(self.number):
            return "Infinity" if self.number > 0 else "-Infinity"
        return f"{self.number:.10g}"


@dataclass(frozen=True)
class PageColumn(Generic[T]):
    """One column: its title, and how a row is shown in it."""

    title: str
    cell: Callable[[T], PageCell]
    numeric: bool = False
    choice: bool = False  # the page offers its values to filter by
    always: bool = False  # shown even where no row has a value


@dataclass(frozen=True)
class PageTable:
    """One table, ready to be written."""

    title: str
    columns: tuple[PageColumn[Any], ...]  # of one kind of row; the rows below are cells
    rows: tuple[tuple[PageCell, ...], ...]
    note: str = ""
    more: int = 0  # rows that only the CSV has


def page_table(
    title: str,
    columns: Sequence[PageColumn[T]],
    rows: Sequence[T],
    note: str = "",
    most: int | None = None,
) -> PageTable:
    """Show the first `most` rows; a column without a value in any of them is left out."""
    shown = rows[:most]
    cells = [[column.cell(row) for row in shown] for column in columns]
    kept = [
        i
        for i, column in enumerate(columns)
        if column.always or any(cell.text not in ("", NOTHING) for cell in cells[i])
    ]
    return PageTable(
        title=title,
        columns=tuple(columns[i] for i in kept),
        rows=tuple(zip(*(cells[i] for i in kept), strict=True)),
        note=note,
        more=len(rows) - len(shown),
    )


def text(title: str, read: Callable[[T], str]) -> PageColumn[T]:
    """Make a column of words."""
    return PageColumn(title, lambda row: PageCell(read(row)))


def choice(title: str, read: Callable[[T], str]) -> PageColumn[T]:
    """Make a column of a few words, such as the mode, which the page offers to filter by."""
    return PageColumn(title, lambda row: PageCell(read(row)), choice=True)


def dataset(read: Callable[[T], str]) -> PageColumn[T]:
    """Make the column of the data set, which `mean` stands for too."""
    return choice("data set", read)


def shots(read: Callable[[T], str], title: str = "shots") -> PageColumn[T]:
    """Make a column of shots, in the order 1, 5, ..., full."""
    return PageColumn(title, lambda row: PageCell(read(row), _shots_number(read(row))), choice=True)


def covers(read: Callable[[T], str]) -> PageColumn[T]:
    """Make the column that says what the interval of a row covers."""
    return text("interval covers", lambda row: _COVERS.get(read(row), ""))


def number(title: str, read: Callable[[T], float | None], form: str = ",.0f") -> PageColumn[T]:
    """Make a column of numbers, shown by `form`."""
    return PageColumn(title, lambda row: number_cell(read(row), form), numeric=True)


def percent(title: str, read: Callable[[T], float | None]) -> PageColumn[T]:
    """Make a column of shares, shown in percent or points."""
    return PageColumn(title, lambda row: _scaled(read(row), ".1f"), numeric=True)


def signed(title: str, read: Callable[[T], float | None]) -> PageColumn[T]:
    """Make a column of differences of shares, shown in points with their sign."""
    return PageColumn(title, lambda row: _scaled(read(row), "+.1f"), numeric=True)


def hours(title: str, read: Callable[[T], float | None]) -> PageColumn[T]:
    """Make a column of hours: two decimals, below one hour two digits."""

    def cell(row: T) -> PageCell:
        value = read(row)
        return number_cell(value, ".2g" if value is not None and value < 1 else ",.2f")

    return PageColumn(title, cell, numeric=True)


def ends(
    title: str, low: Callable[[T], float | None], high: Callable[[T], float | None]
) -> PageColumn[T]:
    """Make a column of intervals of shares in points, sorted by their low end."""

    def cell(row: T) -> PageCell:
        first, last = low(row), high(row)
        if first is None or last is None:
            return PageCell(NOTHING)
        return PageCell(f"{_scaled(first, '.1f').text} to {_scaled(last, '.1f').text}", first)

    return PageColumn(title, cell, numeric=True)


def probability(title: str, read: Callable[[T], float | None]) -> PageColumn[T]:
    """Make a column of p-values; one that rounds to 0 is `< 0.001`."""

    def cell(row: T) -> PageCell:
        p = read(row)
        if p is None:
            return PageCell(NOTHING)
        return PageCell("< 0.001" if p < 0.001 else f"{p:.3f}", p)

    return PageColumn(title, cell, numeric=True)


def number_cell(value: float | None, form: str) -> PageCell:
    """Show a number, or a dash where there is none; no minus before a zero."""
    if value is None:
        return PageCell(NOTHING)
    shown = f"{value:{form}}"
    return PageCell(shown.replace("-", "+" if "+" in form else "") if _is_zero(shown) else shown,
                    value)  # fmt: skip


def joined(*parts: str) -> str:
    """Join what there is to note of a row."""
    return "; ".join(part for part in parts if part)


def _scaled(value: float | None, form: str) -> PageCell:
    return number_cell(None if value is None else 100 * value, form)


def _is_zero(shown: str) -> bool:
    return shown.startswith("-") and not any(digit in shown for digit in "123456789")


def _shots_number(shots: str) -> float | None:
    if shots == FULL:
        return math.inf
    return float(shots) if shots.isdecimal() else None
