"""Tables of test accuracy: labels by shots, for the terminal and the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from hpc_xfer.reporting.figure_data import shot_axis, shots_text
from hpc_xfer.results.averages import MEAN, Average

_COVERAGE = {
    "draws": "covers other draws of the images, for this one pre-training",
    "seeds": "covers other seeds of the pre-training, with these draws of the images",
}


@dataclass(frozen=True)
class AccuracyMatrix:
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
        """True if an entry is absent, or an average of fewer cells than planned."""
        return any(a is None or a.missing for row in self.rows.values() for a in row)

    @property
    def note(self) -> str:
        """Meaning of the signs in the matrix; empty where nothing is missing."""
        if not self.incomplete:
            return ""
        return "* average of fewer cells than planned; — not complete yet; see missing.csv"

    @property
    def coverage(self) -> str:
        """Scope of the intervals of the matrix; empty where there are none."""
        entries = [a for row in self.rows.values() for a in row if a and a.interval]
        found = dict.fromkeys(a.over for a in entries if a.interval and a.interval.n > 1)
        return "; ".join(_COVERAGE.get(over, f"is over {over}") for over in found)

    @property
    def labels(self) -> str:
        """Labels behind each column, to train and to choose; empty where records do not say."""
        found = []
        for i, shots in enumerate(self.shots):
            entries = [entry for row in self.rows.values() if (entry := row[i]) is not None]
            used = {entry.labels for entry in entries if entry.labels is not None}
            if not used:
                return ""
            least, most = min(used), max(used)
            number = f"{least:,}" if least == most else f"{least:,} to {most:,}"
            found.append(f"{number} at {shots_text(shots)}")
        return f"used per draw, to train and to choose: {', '.join(found)}"

    def is_best(self, entry: Average | None) -> bool:
        """True if no label has a higher mean at these shots, and none is incomplete."""
        if entry is None or entry.interval is None:
            return False
        at = self.shots.index(entry.shots)
        column = [row[at] for row in self.rows.values()]
        complete = [a.interval.mean for a in column if a and a.interval and not a.missing]
        return len(complete) == len(column) and entry.interval.mean >= max(complete)


def matrices(averages: Sequence[Average]) -> list[AccuracyMatrix]:
    """List per mode: the mean over data sets if there are several, then every data set."""
    found = []
    for mode in dict.fromkeys(a.mode for a in averages):
        here = [a for a in averages if a.mode == mode]
        datasets = list(dict.fromkeys(a.dataset for a in here if a.dataset != MEAN))
        names = [MEAN, *datasets] if len(datasets) > 1 else datasets
        found += [_matrix(mode, name, here) for name in names]
    return found


def main_matrices(averages: Sequence[Average]) -> list[AccuracyMatrix]:
    """List one per mode: the mean over data sets, or the only data set."""
    first: dict[str, AccuracyMatrix] = {}
    for matrix in matrices(averages):
        first.setdefault(matrix.mode, matrix)
    return list(first.values())


def percent(entry: Average | None) -> str:
    """Format as `56.1 ±3.2`: mean and half the 95% interval in percent; * if cells are missing."""
    if entry is None or entry.interval is None:
        return "—"
    half = entry.interval.half
    spread = "" if half is None else f" ±{100 * half:.1f}"
    return f"{100 * entry.interval.mean:.1f}{spread}{'*' if entry.missing else ''}"


def _matrix(mode: str, dataset: str, averages: Sequence[Average]) -> AccuracyMatrix:
    shots = shot_axis(averages)
    entries = {(a.label, a.shots): a for a in averages if a.dataset == dataset}
    labels = dict.fromkeys(a.label for a in averages)
    rows = {label: tuple(entries.get((label, name)) for name in shots) for label in labels}
    return AccuracyMatrix(mode, dataset, tuple(shots), rows)
