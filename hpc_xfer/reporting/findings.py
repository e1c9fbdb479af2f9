"""The answer of a study: accuracy by label and shots, and what pre-training adds to it.

    show(console, collected)

Here it is for a terminal; report.py shows the same matrices and sentences as a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_xfer.reporting.figure_data import shot_axis, shots_text
from hpc_xfer.results import csv_files
from hpc_xfer.results.averages import MEAN, Average, read_scores
from hpc_xfer.results.paired_differences import paired_differences

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hpc_xfer.results.collect_tables import Collected


@dataclass(frozen=True)
class Matrix:
    """Labels by shots, for one mode and one data set (or the mean of all)."""

    mode: str
    dataset: str
    shots: tuple[str, ...]
    rows: dict[str, tuple[Average | None, ...]]  # label -> one entry per shots

    @property
    def title(self) -> str:
        return "mean of data sets" if self.dataset == MEAN else self.dataset

    @property
    def incomplete(self) -> bool:
        """Whether anything here is absent, or an average of fewer cells than planned."""
        return any(a is None or a.missing for row in self.rows.values() for a in row)

    def is_best(self, entry: Average | None) -> bool:
        """Whether no other label has a higher mean at these shots; none is while some miss."""
        if entry is None or entry.interval is None:
            return False
        at = self.shots.index(entry.shots)
        column = [row[at] for row in self.rows.values()]
        whole = [a.interval.mean for a in column if a and a.interval and not a.missing]
        return len(whole) == len(column) and entry.interval.mean >= max(whole)


def matrices(averages: Sequence[Average]) -> list[Matrix]:
    """Per mode: the mean over data sets where there are several, then every data set."""
    found = []
    for mode in dict.fromkeys(a.mode for a in averages):
        here = [a for a in averages if a.mode == mode]
        datasets = list(dict.fromkeys(a.dataset for a in here if a.dataset != MEAN))
        names = [MEAN, *datasets] if len(datasets) > 1 else datasets
        found += [_matrix(mode, name, here) for name in names]
    return found


def _matrix(mode: str, dataset: str, averages: Sequence[Average]) -> Matrix:
    shots = shot_axis(averages)
    entries = {(a.label, a.shots): a for a in averages if a.dataset == dataset}
    labels = dict.fromkeys(a.label for a in averages)
    rows = {label: tuple(entries.get((label, name)) for name in shots) for label in labels}
    return Matrix(mode, dataset, tuple(shots), rows)


def main_matrices(averages: Sequence[Average]) -> list[Matrix]:
    """One per mode: the mean over data sets, or the only data set."""
    first: dict[str, Matrix] = {}
    for matrix in matrices(averages):
        first.setdefault(matrix.mode, matrix)
    return list(first.values())


def percent(entry: Average | None) -> str:
    """`56.1 ±3.2`: mean and half the 95% interval in percent; * where cells are missing in it."""
    if entry is None or entry.interval is None:
        return "—"
    half = entry.interval.half
    spread = "" if half is None else f" ±{100 * half:.1f}"
    return f"{100 * entry.interval.mean:.1f}{spread}{'*' if entry.missing else ''}"


def note(matrix: Matrix) -> str:
    """What the signs in a matrix mean; empty where all of it is there."""
    if not matrix.incomplete:
        return ""
    return "* averages fewer cells than planned; — is not complete yet; see missing.csv"


def sentences(averages: Sequence[Average], differences: Sequence[Average]) -> list[str]:
    """By how much the best pre-training beats scratch, at the fewest and the most shots.

    Args:
        averages: of averages.csv.
        differences: paired gains over scratch, from `gains`; with none there is no sentence.
    """
    found = []
    for matrix in main_matrices(averages):
        here = [
            gain
            for gain in differences
            if gain.mode == matrix.mode and gain.dataset == matrix.dataset and gain.interval
        ]
        shots = shot_axis(here)
        ends = [shots[0], shots[-1]] if len(shots) > 1 else shots
        parts = [_verdict([gain for gain in here if gain.shots == end]) for end in ends]
        if parts:
            found.append(f"{matrix.title}, {matrix.mode}: {'; '.join(parts)}.")
    return found


def _verdict(candidates: Sequence[Average]) -> str:
    """About the best of the labels at these shots; its interval ignores that it was picked."""
    best = max(candidates, key=lambda gain: gain.interval.mean if gain.interval else -1.0)
    assert best.interval is not None, "callers pass gains that were measured"
    low, high, points = best.interval.low, best.interval.high, 100 * best.interval.mean
    several = len(candidates) > 1
    name = f"{best.label} (best of {len(candidates)})" if several else best.label
    where = f"with {shots_text(best.shots)}"
    gaps = f", {best.missing} cells missing" if best.missing else ""
    if low is None or high is None:
        return (
            f"{where}, {name} is {points:+.1f} points from scratch (one value, no interval{gaps})"
        )
    about = f"95% interval {100 * low:.1f} to {100 * high:.1f}, {best.interval.n} {best.over}{gaps}"
    if low > 0:
        return f"{where}, {name} beats scratch by {points:.1f} points ({about})"
    if high < 0:
        return f"{where}, scratch beats {name} by {-points:.1f} points ({about})"
    return f"{where}, {name} and scratch cannot be told apart ({points:+.1f} points; {about})"


def answer_table(matrix: Matrix) -> "Table":
    """One matrix for the terminal; the best of each complete column is bold."""
    from rich.table import Table
    from rich.text import Text

    caption = f"± half of the 95% interval {note(matrix)}".strip()
    title = f"{matrix.title}, {matrix.mode}: test accuracy (%)"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    for shots in matrix.shots:
        table.add_column(shots_text(shots), justify="right")
    for label, row in matrix.rows.items():
        cells = [Text(percent(a), style="bold" if matrix.is_best(a) else "") for a in row]
        table.add_row(Text(label), *cells)
    return table


def show(console: "Console", collected: "Collected") -> None:
    """Print one table per mode, the sentences, and how much is missing.

    Raises:
        StoreError: cells.csv is gone.
    """
    averages = collected.averages
    for matrix in main_matrices(averages):
        console.print(answer_table(matrix))
    differences = paired_differences(
        read_scores(csv_files.read(collected.files["cells"])), averages
    )
    for sentence in sentences(averages, differences):
        console.print(sentence, markup=False)
    if gap := collected.cells - collected.cells_complete:
        console.print(f"{gap:,} of {collected.cells:,} cells are missing; see missing.csv")
