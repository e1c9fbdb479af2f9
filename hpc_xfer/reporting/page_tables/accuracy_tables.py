"""Tables of test accuracy: labels by shots, as `AccuracyMatrix` has them."""

from collections.abc import Sequence

from hpc_xfer.reporting.accuracy_matrix import AccuracyMatrix, accuracy_text
from hpc_xfer.reporting.page_tables.page_table import (
    PageCell,
    PageColumn,
    PageTable,
    page_table,
    text,
)
from hpc_xfer.results.answers.terms import shots_text
from hpc_xfer.results.averages import Average

LabelRow = tuple[str, Sequence[Average | None]]


def accuracy_table(matrix: AccuracyMatrix) -> PageTable:
    """Show one matrix, with its signs and what its numbers mean."""
    columns: list[PageColumn[LabelRow]] = [text("label", lambda row: row[0])]
    columns += [_column(matrix, at) for at in range(len(matrix.shots))]
    title = f"{matrix.title} ({matrix.mode})"
    lines = (line[0].upper() + line[1:] for line in matrix.caption)
    note = f"Test accuracy in percent. {'. '.join(lines)}."
    return page_table(title, columns, list(matrix.rows.items()), note)


def _column(matrix: AccuracyMatrix, at: int) -> PageColumn[LabelRow]:
    def cell(row: LabelRow) -> PageCell:
        entry = row[1][at]
        mean = entry.interval.mean if entry and entry.interval else None
        return PageCell(accuracy_text(entry), mean, matrix.sign(entry))

    return PageColumn(shots_text(matrix.shots[at]), cell, numeric=True, always=True)
