"""Averages over draws and seeds, with their intervals.

Missing cells are counted beside every average, never left out in silence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpc_xfer.results import csv_files
from hpc_xfer.results.csv_files import Row, Table, fixed, number
from hpc_xfer.results.encoder_info import ENCODER_COLUMNS, EncoderInfo
from hpc_xfer.results.estimators.estimate import Target
from hpc_xfer.results.intervals import Interval
from hpc_xfer.results.scores import Over, Score, by_dataset, grouped, over_datasets, spread

MEAN = "mean"  # stands for the data set in the average over all data sets
COLUMNS = (
    *ENCODER_COLUMNS, "dataset", "shots", "mode",
    "mean", "std", "n", "ci95_low", "ci95_high", "over", "missing", "labels",
)  # fmt: skip


@dataclass(frozen=True)
class Average:
    """One mean with its interval; all other fields but `encoder` are columns of averages.csv."""

    encoder: EncoderInfo
    dataset: str  # or MEAN
    shots: str
    mode: str
    interval: Interval | None  # shares; None where no cell is complete
    over: Over  # what the interval is over
    missing: int  # cells that should be in it and are not
    labels: int | None = None  # used per draw, to train and to choose; None where it is not known
    target: Target = ""  # what the interval covers: E1 | E2, see estimators/estimate.py
    images_low: float | None = None  # ends of the E3 interval, over other test images too
    images_high: float | None = None
    seeds: int = 1  # of the pre-training
    draws: int = 1
    n_test: int | None = None  # test images; the sum over data sets for their mean
    datasets: int = 1  # that the mean is over
    left_out: str = ""  # data sets that the mean leaves out, with the reason
    why: str = ""  # there is no interval

    @property
    def label(self) -> str:
        return self.encoder.label

    @property
    def row(self) -> dict[str, object]:
        """A row of averages.csv."""
        found = self.interval
        return {
            **self.encoder.row,
            "dataset": self.dataset,
            "shots": self.shots,
            "mode": self.mode,
            "mean": fixed(found.mean if found else None),
            "std": fixed(found.std if found else None),
            "n": found.n if found else 0,
            "ci95_low": fixed(found.low if found else None),
            "ci95_high": fixed(found.high if found else None),
            "over": self.over,
            "missing": self.missing,
            "labels": self.labels,
        }


def table(averages: Sequence[Average]) -> Table:
    """Make averages.csv."""
    rows = [average.row for average in averages]
    return csv_files.without_empty(COLUMNS, rows, ("labels",))


def read_averages(rows: Iterable[Row]) -> list[Average]:
    """Read the rows of averages.csv."""
    return [
        csv_files.typed(
            Average,
            row,
            encoder=csv_files.typed(EncoderInfo, row),
            interval=_interval(row),
        )
        for row in rows
    ]


def averages(planned: Sequence[Score]) -> list[Average]:
    """Averages per (label, mode, shots): one per data set, and one over all data sets.

    The latter exists if there are several data sets and no cell is incomplete. It averages over
    data sets within each draw first.

    Args:
        planned: one score per planned cell, complete or not.
    """
    seeds: dict[EncoderInfo, set[str]] = {}
    for score in planned:
        seeds.setdefault(score.encoder, set()).add(score.pretrain_seed)
    result = []
    for (encoder, mode, shots), group in grouped(planned).items():
        over: Over = "seeds" if len(seeds[encoder]) > 1 else "draws"
        absent = [score.dataset for score in group if score.test_top1 is None]
        datasets = by_dataset(group)
        repeats = dict(datasets)
        if len(datasets) > 1 and not absent:
            repeats[MEAN] = over_datasets(datasets)
        result += [
            Average(
                encoder=encoder,
                dataset=dataset,
                shots=shots,
                mode=mode,
                interval=spread(values, over),
                over=over,
                missing=absent.count(dataset),
                labels=_labels(group, dataset),
            )
            for dataset, values in repeats.items()
        ]
    return result


def _labels(group: Sequence[Score], dataset: str) -> int | None:
    """Labels used per draw, summed over data sets for their mean; None where draws differ."""
    used: dict[str, set[int]] = {}
    for score in group:
        if score.labels is not None and dataset in (score.dataset, MEAN):
            used.setdefault(score.dataset, set()).add(score.labels)
    if not used or any(len(found) > 1 for found in used.values()):
        return None
    return sum(found.pop() for found in used.values())


def _interval(row: Row) -> Interval | None:
    mean = number(row["mean"])
    if mean is None:
        return None
    return Interval(
        mean=mean,
        n=int(row["n"]),
        std=number(row["std"]),
        low=number(row["ci95_low"]),
        high=number(row["ci95_high"]),
    )
