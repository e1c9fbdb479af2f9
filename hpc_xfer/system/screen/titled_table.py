"""Make a table with a bold title and header, and no lines: the look of plans and costs."""

from rich.table import Table


def titled_table(title: str, gap: int = 2) -> Table:
    """Make an empty table; the caller adds columns and rows, `gap` characters apart."""
    return Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, gap, 0, 0),
        header_style="bold", title_style="bold",
    )  # fmt: skip
