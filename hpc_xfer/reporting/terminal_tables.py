"""Accuracy tables for the terminal."""

from typing import TYPE_CHECKING

from hpc_xfer.reporting.accuracy_matrix import AccuracyMatrix, accuracy_text
from hpc_xfer.results.answers.terms import shots_text

if TYPE_CHECKING:
    from rich.console import Group


def accuracy_table(matrix: AccuracyMatrix) -> "Group":
    """Lay out one matrix between its title and what its intervals and signs mean."""
    from rich.console import Group
    from rich.table import Table

    from hpc_xfer.system.screen.plain_console import line

    table = Table("")
    for shots in matrix.shots:
        table.add_column(shots_text(shots), justify="right")
    for label, row in matrix.rows.items():
        cells = [line(f"{accuracy_text(entry)}{matrix.sign(entry)}") for entry in row]
        table.add_row(line(label), *cells)
    title = line(f"{matrix.title}, {matrix.mode}: test accuracy (%)", style="italic")
    # Beside the table, not in it: a narrow table would wrap them at every other word.
    return Group(title, table, *(line(text, style="dim") for text in matrix.caption))
