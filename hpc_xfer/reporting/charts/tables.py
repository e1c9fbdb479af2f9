"""The tables that figures are made of, read from the CSVs of a study alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.reporting.answer_tables import answer_files, read_answers
from hpc_xfer.reporting.charts.looks import Looks
from hpc_xfer.results.answers.rows import Gap, Rank, Scaling
from hpc_xfer.results.answers.terms import shot_order
from hpc_xfer.results.averages import MEAN, Average, read_averages
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.intervals import Interval
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Row
from hpc_xfer.study.labels import without_snapshot


@dataclass(frozen=True)
class FigureTables:
    """All rows, and the looks that the encoders have in every figure."""

    averages: Sequence[Average]
    gaps: Sequence[Gap]
    scaling: Sequence[Scaling]
    ranks: Sequence[Rank]
    pretrainings: Sequence[Row]  # of runs.csv
    looks: Looks

    @property
    def encoders(self) -> dict[str, EncoderInfo]:
        """Each encoder by its label."""
        return {a.label: a.encoder for a in self.averages}

    @property
    def modes(self) -> list[str]:
        return list(dict.fromkeys(a.mode for a in self.averages))

    def ended(self, mode: str) -> list[Average]:
        """List the measured averages of finished pre-trainings."""
        return [
            a
            for a in self.averages
            if a.mode == mode and a.interval is not None and a.encoder.snapshot is None
        ]

    def pairs(self, axis: str) -> list[Gap]:
        """List the differences between two encoders on an axis, if both have an average."""
        known = self.encoders
        return [
            gap
            for gap in self.gaps
            if gap.axis == axis and gap.kind == "pair" and gap.a in known and gap.b in known
        ]

    def main_datasets(self, mode: str) -> list[str]:
        """List the mean over data sets alone where there is one, else every data set."""
        found = list(dict.fromkeys(a.dataset for a in self.ended(mode)))
        return [MEAN] if MEAN in found else found


def read_tables(summary: Path) -> FigureTables:
    """Read the CSVs of a study; a table of answers that is not there has no rows.

    Raises:
        StoreError: averages.csv is not there; collect first.
    """
    averages = read_averages(csv_files.read(summary / "averages.csv"))
    answers = read_answers(answer_files(summary))
    encoders = [a.encoder for a in averages if a.encoder.snapshot is None]
    return FigureTables(
        averages=averages,
        gaps=answers.gaps,
        scaling=answers.scaling,
        ranks=answers.ranks,
        pretrainings=_pretrainings(summary / "runs.csv"),
        looks=Looks(encoders),
    )


def datasets_of(rows: Iterable[Average | Gap]) -> list[str]:
    """List data sets in their order, the mean first."""
    return sorted(dict.fromkeys(row.dataset for row in rows), key=lambda name: name != MEAN)


def encoders_of(averages: Sequence[Average]) -> list[EncoderInfo]:
    """List encoders in their order, scratch last."""
    found = dict.fromkeys(a.encoder for a in averages)
    return sorted(found, key=lambda encoder: encoder.method == "scratch")


def shot_axis(averages: Sequence[Average]) -> list[str]:
    """List the shots of these averages, in order."""
    return sorted({average.shots for average in averages}, key=shot_order)


def snapshot_series(averages: Sequence[Average]) -> dict[str, list[Average]]:
    """Map each pre-training with snapshots, by label, to averages of its snapshots and its end."""
    found: dict[str, list[Average]] = {}
    for average in averages:
        found.setdefault(without_snapshot(average.label), []).append(average)
    return {
        name: group
        for name, group in found.items()
        if any(average.encoder.snapshot is not None for average in group)
    }


def percent_ends(found: Interval) -> tuple[float | None, float | None]:
    """Return both ends of an interval in percent."""
    return percent(found.low), percent(found.high)


def gap_ends(row: Gap) -> tuple[float | None, float | None]:
    """Return both ends of the interval of a difference, in points."""
    return percent(row.ci95_low), percent(row.ci95_high)


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _pretrainings(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [row for row in csv_files.read(path) if row["kind"] == "pretrain"]
