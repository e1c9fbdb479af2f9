"""A table of `status` that can be cut to fit a screen.

table.drawn()                 # all rows
table.drawn(most=5)           # the five that matter most, and how many there are more
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hpc_xfer.study.state_words import State
from hpc_xfer.system import terminal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

# Rows of these states are the last to be cut.
_FIRST: tuple[State, ...] = (
    "failed", "lost", "running", "starting", "pending", "missing", "blocked", "done",
)  # fmt: skip
_AROUND = 2  # lines of title and header
_SHORTEST = 16  # characters of a long column that are still worth their room


@dataclass(frozen=True)
class ShownTable:
    """A title, names of columns and rows of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    states: Sequence[State]  # of each row: decides which rows stay when the table is cut
    right: Sequence[str] = ()  # columns that are aligned to the right
    long: Sequence[str] = ()  # columns that give way where the screen is narrow
    least: Sequence[str] = ()  # columns that are left out there, the first first

    def lines(self, most: int) -> int:
        """Count the lines of the table with so many rows; 0 without rows."""
        if not most:
            return 0
        return _AROUND + most + (most < len(self.rows))

    def drawn(self, most: int | None = None) -> "RenderableType":
        """Draw all rows, or the most important ones, one line each, and the number of others.

        Columns without a text are left out. Where the screen is too narrow for the rest, columns
        of `least` go first; see fitting_columns.
        """
        return _Drawn(self, self._kept(len(self.rows) if most is None else most), most is not None)

    def _kept(self, most: int) -> list[int]:
        order = sorted(range(len(self.rows)), key=lambda index: _FIRST.index(self.states[index]))
        return sorted(order[:most])


@dataclass(frozen=True)
class _Drawn:
    """The kept rows of a table, laid out when the width of the screen is known."""

    table: ShownTable
    kept: Sequence[int]
    one_line: bool  # cut long cells instead of wrapping them

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[RenderableType]":
        from rich.table import Table

        from hpc_xfer.system.screen.plain_console import line

        shown = self.table
        cells = [shown.rows[k] for k in self.kept]
        columns, gap = fitting_columns(shown, cells, options.max_width)
        cut: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"} if self.one_line else {}
        if least_width(shown, cells, columns, gap) > options.max_width:  # numbers would be cut
            yield line(shown.title, style="bold")
            for row in cells:
                named = zip(shown.columns[1:], row[1:], strict=True)
                texts = [f"{name} {cell}" for name, cell in named if cell]
                yield line(f"{row[0]}: {', '.join(texts)}", **cut)
            yield from self._more(line)
            return
        table = Table(title=shown.title, title_justify="left", box=None, pad_edge=False,
                      padding=(0, gap, 0, 0), header_style="bold", title_style="bold")  # fmt: skip
        for name in (shown.columns[i] for i in columns):
            justify: Literal["left", "right"] = "right" if name in shown.right else "left"
            table.add_column(name, justify=justify, no_wrap=name not in shown.long)
        for row in cells:
            table.add_row(*(line(row[i], **cut) for i in columns))
        yield table
        yield from self._more(line)

    def _more(self, line: "Callable[[str], Text]") -> "Iterator[Text]":
        if more := len(self.table.rows) - len(self.kept):
            yield line(f"... {terminal.counted(more, 'more row')}")


def fitting_columns(
    table: ShownTable, rows: Sequence[Sequence[str]], width: int
) -> tuple[list[int], int]:
    """Choose columns that fit into a width, and the gap between them: 2 characters, else 1.

    Empty columns go first, then those of `table.least`. Long columns may shrink to what is still
    readable; all others, run ids among them, are never cut.
    """
    columns = [i for i in range(len(table.columns)) if any(row[i] for row in rows)]
    for name in (None, *table.least):
        columns = [i for i in columns if table.columns[i] != name]
        for gap in (2, 1):
            if least_width(table, rows, columns, gap) <= width:
                return columns, gap
    return columns, 1


def least_width(
    table: ShownTable, rows: Sequence[Sequence[str]], columns: Sequence[int], gap: int
) -> int:
    """The width below which these columns would be cut."""

    def of_column(i: int) -> int:
        whole = max(map(len, (table.columns[i], *(row[i] for row in rows))))
        return min(whole, _SHORTEST) if table.columns[i] in table.long else whole

    return sum(map(of_column, columns)) + gap * (len(columns) - 1)


def gravest(states: Sequence[State]) -> State:
    """The state by which a row of many runs is ranked."""
    return min(states, key=_FIRST.index)


def rows_that_fit(tables: Sequence[ShownTable], lines: int) -> list[int]:
    """Return how many rows of each table fit into so many lines; the longest is cut first."""
    kept = [len(table.rows) for table in tables]

    def needed() -> int:
        return sum(table.lines(most) for table, most in zip(tables, kept, strict=True))

    while needed() > lines:
        longest = kept.index(max(kept))
        # The line that tells how many are cut costs as much as the first row that is cut.
        is_whole = kept[longest] == len(tables[longest].rows)
        kept[longest] = max(0, kept[longest] - (2 if is_whole else 1))
    return kept
