"""A table of `status` that can be cut to fit a screen.

table.drawn()                 # all rows
table.drawn(most=5)           # the five that matter most, and how many there are more
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hpc_xfer.study.state_words import State

if TYPE_CHECKING:
    from rich.console import RenderableType

# Rows of these states are the last to be cut.
_FIRST: tuple[State, ...] = (
    "failed", "lost", "running", "starting", "pending", "missing", "blocked", "done",
)  # fmt: skip
_AROUND = 2  # lines of title and header


@dataclass(frozen=True)
class ShownTable:
    """A title, names of columns and rows of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    states: Sequence[State]  # of each row: decides which rows stay when the table is cut
    right: Sequence[str] = ()  # columns that are aligned to the right
    long: Sequence[str] = ()  # columns that give way where the screen is narrow

    def lines(self, most: int) -> int:
        """Count the lines of the table with so many rows; 0 without rows."""
        if not most:
            return 0
        return _AROUND + most + (most < len(self.rows))

    def drawn(self, most: int | None = None) -> "RenderableType":
        """Draw all rows, or the most important ones, one line each, and the number of others.

        Columns without a text are left out.
        """
        from rich.console import Group
        from rich.table import Table

        from hpc_xfer.system.screen.plain_console import line

        kept = self._kept(len(self.rows) if most is None else most)
        filled = [i for i in range(len(self.columns)) if any(self.rows[k][i] for k in kept)]
        table = Table(title=self.title, title_justify="left", box=None, pad_edge=False,
                      padding=(0, 2, 0, 0), header_style="bold", title_style="bold")  # fmt: skip
        for name in (self.columns[i] for i in filled):
            justify: Literal["left", "right"] = "right" if name in self.right else "left"
            table.add_column(name, justify=justify, no_wrap=name not in self.long)
        one_line: dict[str, Any] = (
            {"no_wrap": True, "overflow": "ellipsis"} if most is not None else {}
        )
        for row in (self.rows[k] for k in kept):
            table.add_row(*(line(row[i], **one_line) for i in filled))
        if not (more := len(self.rows) - len(kept)):
            return table
        return Group(table, line(f"... {more:,} more rows"))

    def _kept(self, most: int) -> list[int]:
        order = sorted(range(len(self.rows)), key=lambda index: _FIRST.index(self.states[index]))
        return sorted(order[:most])


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
