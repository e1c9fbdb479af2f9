"""Findings of a study in the terminal: accuracies, the answer to each question, what is missing.

    show(console, collected)

report_page.py shows the same sentences and tables as a page.
"""

from typing import TYPE_CHECKING

from hpc_xfer.reporting.accuracy_matrix import main_matrices
from hpc_xfer.reporting.answer_tables import read_answers
from hpc_xfer.reporting.sentences.questions import sentences
from hpc_xfer.reporting.terminal_tables import accuracy_table

if TYPE_CHECKING:
    from rich.console import Console

    from hpc_xfer.results.collect_tables import Collected


MOST_LINES = 2  # per question: a terminal has 50 lines, the page has all


def show(console: "Console", collected: "Collected", note: str = "") -> None:
    """Print one table per mode, then questions and answers, then how much is missing.

    Args:
        note: what the numbers are worth, printed before the answers.

    Raises:
        StoreError: a table lacks a column.
    """
    found = read_answers(collected.files)
    for matrix in main_matrices(collected.averages, found.gaps):
        console.print(accuracy_table(matrix))
    if note:
        console.print(f"\n{note}", markup=False)
    answers = sentences(collected.averages, found.gaps, found.scaling, found.ranks, found.variance)
    for question in answers:
        console.print()
        console.print(question.title, style="bold", markup=False)
        for line in question.lines[:MOST_LINES]:
            console.print(f"- {line}", markup=False)
        if (more := len(question.lines) - MOST_LINES) > 0:
            console.print(f"- {more} more in report.html", markup=False)
    if missing := collected.cells - collected.cells_complete:
        console.print()
        are = "is" if missing == 1 else "are"
        console.print(f"{missing:,} of {collected.cells:,} cells {are} missing; see missing.csv")
