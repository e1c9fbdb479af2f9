"""Accuracy tables for the terminal."""

from typing import TYPE_CHECKING

from hpc_xfer.reporting.accuracy_matrix import AccuracyMatrix, percent
from hpc_xfer.reporting.figure_data import shots_text

if TYPE_CHECKING:
    from rich.table import Table


def accuracy_table(matrix: AccuracyMatrix) -> "Table":
    """Lay out one matrix; its caption says what the intervals cover and what the signs mean."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    title = escape(f"{matrix.title}, {matrix.mode}: test accuracy (%)")
    caption = escape("\n".join(matrix.caption))
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    for shots in matrix.shots:
        table.add_column(shots_text(shots), justify="right")
    for label, row in matrix.rows.items():
        cells = [Text(f"{percent(entry)}{matrix.sign(entry)}") for entry in row]
        table.add_row(Text(label), *cells)
    return table
