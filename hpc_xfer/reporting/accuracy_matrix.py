"""Tables of test accuracy: labels by shots, for the terminal and the page."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hpc_xfer.reporting.figure_data import shot_axis, shots_text
from hpc_xfer.reporting.sentences.phrases import at_shots, few
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.estimators.estimate import Target

NOT_APART = "≈"  # behind an accuracy that is not told apart from the best of its column
_COVERAGE: dict[Target, str] = {
    "sets": "other data sets like these, with these pre-trainings and draws",
    "E1": "other draws of the images, for this one pre-training",
    "E2": "other seeds of the pre-training and other draws of the images",
}


@dataclass(frozen=True)
class AccuracyMatrix:
    """Labels by shots, for one mode and one data set (or the mean of all)."""

    mode: str
    dataset: str
    shots: tuple[str, ...]
    rows: dict[str, tuple[Average | None, ...]]  # label -> one entry per shots
    not_apart: frozenset[tuple[str, str]] = frozenset()  # (label, shots) not told apart from best
    compared: tuple[str, ...] = ()  # shots at which the best is compared with all other labels

    @property
    def title(self) -> str:
        """The data set; of a mean, the number of data sets and those that are left out."""
        if self.dataset != MEAN:
            return self.dataset
        numbers = sorted({entry.datasets for entry in self._entries})
        most, least = (numbers[-1], numbers[0]) if numbers else (1, 1)
        several = f"{most}" if most == least else f"{least} to {most}"
        left_out = dict.fromkeys(entry.left_out for entry in self._entries if entry.left_out)
        without = f", without {'; '.join(left_out)}" if left_out else ""
        return f"mean of {several} data sets{without}" if most > 1 else "mean of data sets"

    @property
    def caption(self) -> list[str]:
        """One line each for the intervals, the signs, and the labels used, where there are any."""
        covers = f", which {self.coverage}" if self.coverage else ""
        labels = f"labels {self.labels}" if self.labels else ""
        lines = [f"± half of the 95% interval{covers}", self.without_interval, self.note, labels]
        return [line for line in lines if line]

    @property
    def note(self) -> str:
        """Meaning of the signs in the matrix; empty where there are none."""
        parts = []
        if self.not_apart:
            signs = f"{NOT_APART} not told apart from the highest of its column"
            where = "" if self.compared == self.shots else f" (compared: {at_shots(self.compared)})"
            parts.append(f"{signs}{where}")
        if any(entry.missing for entry in self._planned):
            parts.append("* average of fewer cells than planned")
            if len(self._entries) < sum(map(len, self.rows.values())):
                parts.append("— not complete yet")
            parts.append("see missing.csv")
        elif self.incomplete:
            parts.append("— no result" if self.dataset != MEAN else "— not in the mean")
        return "; ".join(parts)

    @property
    def incomplete(self) -> bool:
        """True if an entry is absent, or an average of fewer cells than planned."""
        return any(a is None or a.missing for row in self.rows.values() for a in row)

    @property
    def coverage(self) -> str:
        """Scope of the intervals; where there are several, per column, else per label."""
        columns: dict[Target, list[str]] = {}
        labels: dict[Target, dict[str, None]] = {}
        for label, row in self.rows.items():
            for shots, entry in zip(self.shots, row, strict=True):
                if entry is not None and half_interval(entry) is not None and entry.target:
                    columns.setdefault(entry.target, []).append(shots)
                    labels.setdefault(entry.target, {})[label] = None
        if len(columns) == 1:
            return f"covers {_COVERAGE[next(iter(columns))]}"
        per_column = {t: [s for s in self.shots if s in found] for t, found in columns.items()}
        apart = len({s for found in per_column.values() for s in found}) == sum(
            map(len, per_column.values())
        )
        return "; ".join(
            f"covers {_COVERAGE[target]}"
            + (f" (with {at_shots(shots)})" if apart else f" (of {few(list(labels[target]))})")
            for target, shots in sorted(per_column.items())
        )

    @property
    def without_interval(self) -> str:
        """Count the entries without an interval, by reason; empty if all have one."""
        reasons = Counter(
            (entry.why or "one value").split(":")[0]
            for entry in self._entries
            if half_interval(entry) is None
        )
        said = [
            f"{reason} ({'1 entry' if n == 1 else f'{n:,} entries'})"
            for reason, n in sorted(reasons.items())
        ]
        return f"no interval: {', '.join(said)}" if said else ""

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

    def sign(self, entry: Average | None) -> str:
        """Return the sign behind an entry that is not told apart from the best at its shots."""
        known = entry is not None and (entry.label, entry.shots) in self.not_apart
        return NOT_APART if known else ""

    @property
    def _entries(self) -> list[Average]:
        """All entries that have a value."""
        return [entry for entry in self._planned if entry.interval]

    @property
    def _planned(self) -> list[Average]:
        return [entry for row in self.rows.values() for entry in row if entry]


def matrices(averages: Sequence[Average], gaps: Sequence[Gap] = ()) -> list[AccuracyMatrix]:
    """List per mode: the mean over data sets if there are several, then every data set.

    Args:
        averages: of a study.
        gaps: of the same study; without them no entry has a sign.
    """
    found = []
    for mode in dict.fromkeys(a.mode for a in averages):
        here = [a for a in averages if a.mode == mode]
        datasets = list(dict.fromkeys(a.dataset for a in here if a.dataset != MEAN))
        names = [MEAN, *datasets] if len(datasets) > 1 else datasets
        found += [_matrix(mode, name, here, gaps) for name in names]
    return found


def main_matrices(averages: Sequence[Average], gaps: Sequence[Gap] = ()) -> list[AccuracyMatrix]:
    """List one per mode: the mean over data sets, or the only data set."""
    first: dict[str, AccuracyMatrix] = {}
    for matrix in matrices(averages, gaps):
        first.setdefault(matrix.mode, matrix)
    return list(first.values())


def percent(entry: Average | None) -> str:
    """Format as `56.1 ±3.2`: mean and half the 95% interval in percent; * if cells are missing."""
    if entry is None or entry.interval is None:
        return "—"
    half = half_interval(entry)
    spread = "" if half is None else f" ±{100 * half:.1f}"
    return f"{100 * entry.interval.mean:.1f}{spread}{'*' if entry.missing else ''}"


def half_interval(entry: Average) -> float | None:
    """Half the width of the interval; None where it is of no use, as with two repetitions."""
    return None if entry.interval is None or entry.why else entry.interval.half


def _matrix(
    mode: str, dataset: str, averages: Sequence[Average], gaps: Sequence[Gap]
) -> AccuracyMatrix:
    entries = {(a.label, a.shots): a for a in averages if a.dataset == dataset}
    # What was never planned here has no row or column; what is only missing yet keeps its own.
    kept = [*entries.values(), *(a for a in averages if a.missing and dataset == MEAN)]
    shots = shot_axis(kept)
    labels = dict.fromkeys(a.label for a in averages if a.label in {each.label for each in kept})
    rows = {label: tuple(entries.get((label, name)) for name in shots) for label in labels}
    pairs = [g for g in gaps if (g.kind, g.mode, g.dataset) == ("pair", mode, dataset)]
    columns = {
        name: _not_apart([row[i] for row in rows.values()], [g for g in pairs if g.shots == name])
        for i, name in enumerate(shots)
    }
    compared = {name: found for name, found in columns.items() if found is not None}
    not_apart = frozenset((label, name) for name, found in compared.items() for label in found)
    return AccuracyMatrix(mode, dataset, tuple(shots), rows, not_apart, tuple(compared))


def _not_apart(column: Sequence[Average | None], pairs: Sequence[Gap]) -> set[str] | None:
    """Labels not told apart from the best; None unless all are compared with it.

    Two labels can be compared on several axes; one comparison that tells them apart is enough.
    """
    means = {a.label: a.interval.mean for a in column if a and a.interval and not a.missing}
    if not means or len(means) < len(column):
        return None
    best = max(means, key=lambda label: means[label])
    verdicts: dict[str, set[str]] = {}
    for gap in pairs:
        if best in (gap.a, gap.b) and gap.verdict and not gap.why:
            verdicts.setdefault(gap.b if gap.a == best else gap.a, set()).add(gap.verdict)
    if set(means) - {best} - set(verdicts):
        return None
    return {label for label, found in verdicts.items() if not found & {"a", "b"}}
