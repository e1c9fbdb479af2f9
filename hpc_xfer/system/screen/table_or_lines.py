"""A table that no screen cuts: where it does not fit, each row is a line of text that wraps."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType


@dataclass(frozen=True)
class TableOrLines:
    """A title, names of columns and rows of text; the first cell of a row names it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Collection[str]  # columns that are aligned to the left
    bare: Collection[str] = ()  # columns whose name is left out where a row is a line

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[RenderableType]":
        from hpc_xfer.system.screen.plain_console import line
        from hpc_xfer.system.screen.titled_table import titled_table

        shown = [self.columns, *self.rows]
        needed = sum(max(len(row[i]) for row in shown) for i in range(len(self.columns)))
        for gap in (2, 1):
            if needed + gap * (len(self.columns) - 1) <= options.max_width:
                table = titled_table(self.title, gap)
                for name in self.columns:
                    justify: Literal["left", "right"] = "left" if name in self.left else "right"
                    table.add_column(name, justify=justify, no_wrap=True)
                for row in self.rows:
                    table.add_row(*map(line, row))  # a list in a cell is no markup
                yield table
                return
        yield line(self.title, style="bold")
        yield from (line(self._in_a_line(row)) for row in self.rows)

    def _in_a_line(self, row: Sequence[str]) -> str:
        cells = [
            cell if name in self.bare else f"{name} {cell}"
            for name, cell in zip(self.columns[1:], row[1:], strict=True)
            if cell
        ]
        return f"{row[0]}: {', '.join(cells)}"
