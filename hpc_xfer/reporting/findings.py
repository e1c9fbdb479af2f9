"""The findings of a study: sentences on what pre-training adds, and the tables in the terminal.

    show(console, collected)

report_page.py shows the same sentences and tables as a page.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpc_xfer.reporting.accuracy_matrix import AccuracyMatrix, main_matrices, percent
from hpc_xfer.reporting.figure_data import shot_axis, shots_text
from hpc_xfer.results import csv_files
from hpc_xfer.results.averages import Average
from hpc_xfer.results.paired_differences import paired_differences
from hpc_xfer.results.scores import read_scores

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hpc_xfer.results.collect_tables import Collected


def show(console: "Console", collected: "Collected") -> None:
    """Print one table per mode, the sentences, and how much is missing.

    Raises:
        StoreError: cells.csv is gone.
    """
    averages = collected.averages
    for matrix in main_matrices(averages):
        console.print(_table(matrix))
    scores = read_scores(csv_files.read(collected.files["cells"]))
    for sentence in sentences(averages, paired_differences(scores, averages)):
        console.print(sentence, markup=False)
    if missing := collected.cells - collected.cells_complete:
        console.print(f"{missing:,} of {collected.cells:,} cells are missing; see missing.csv")


def sentences(averages: Sequence[Average], differences: Sequence[Average]) -> list[str]:
    """Say by how much the best pre-training beats scratch, at the fewest and the most shots.

    Args:
        averages: all averages of the study.
        differences: from scratch, paired; without any there is no sentence.
    """
    found = []
    for matrix in main_matrices(averages):
        here = [
            difference
            for difference in differences
            if (difference.mode, difference.dataset) == (matrix.mode, matrix.dataset)
            and difference.interval
        ]
        shots = shot_axis(here)
        ends = [shots[0], shots[-1]] if len(shots) > 1 else shots
        parts = [_verdict([a for a in here if a.shots == end]) for end in ends]
        if parts:
            found.append(f"{matrix.title}, {matrix.mode}: {'; '.join(parts)}.")
    return found


def _verdict(candidates: Sequence[Average]) -> str:
    """Compare the best label with scratch; its interval ignores that it was picked as the best."""
    best = max(candidates, key=lambda a: a.interval.mean if a.interval else -1.0)
    assert best.interval is not None, "callers pass differences that were measured"
    low, high, points = best.interval.low, best.interval.high, 100 * best.interval.mean
    several = len(candidates) > 1
    name = f"{best.label} (best of {len(candidates)})" if several else best.label
    where = f"with {shots_text(best.shots)}"
    gaps = f", {best.missing} cells missing" if best.missing else ""
    if low is None or high is None:
        return (
            f"{where}, {name} differs from scratch by {points:+.1f} points "
            f"(one value, no interval{gaps})"
        )
    about = f"95% interval {100 * low:.1f} to {100 * high:.1f}, {best.interval.n} {best.over}{gaps}"
    if low > 0:
        return f"{where}, {name} beats scratch by {points:.1f} points ({about})"
    if high < 0:
        return f"{where}, scratch beats {name} by {-points:.1f} points ({about})"
    return f"{where}, {name} and scratch do not differ clearly ({points:+.1f} points; {about})"


def _table(matrix: AccuracyMatrix) -> "Table":
    """One matrix for the terminal; the best of each complete column is bold."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    labels = f"labels {matrix.labels}" if matrix.labels else ""
    covers = f", which {matrix.coverage}" if matrix.coverage else ""
    lines = (f"± half of the 95% interval{covers} {matrix.note}".strip(), labels)
    caption = "\n".join(line for line in lines if line)
    title = escape(f"{matrix.title}, {matrix.mode}: test accuracy (%)")
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    for shots in matrix.shots:
        table.add_column(shots_text(shots), justify="right")
    for label, row in matrix.rows.items():
        cells = [Text(percent(a), style="bold" if matrix.is_best(a) else "") for a in row]
        table.add_row(Text(label), *cells)
    return table
