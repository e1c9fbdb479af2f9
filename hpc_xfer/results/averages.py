"""Averages over draws and seeds, with their intervals.

The unit of repetition is what an interval is about. A label with several pre-training seeds is
averaged over draws within each seed first, and its interval is over seeds; with one seed it is
over draws. What is missing is counted beside every average, never left out in silence.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hpc_xfer.results.csv_files import Row, fixed, number
from hpc_xfer.results.intervals import Interval, interval

Over = Literal["draws", "seeds"]
Values = dict[tuple[str, str], float]  # (seed, draw) -> share
MEAN = "mean"  # stands for the data set in the average over all data sets
ORIGIN = ("label", "method", "arch", "source", "samples", "samples_seen", "snapshot")
COLUMNS = (
    *ORIGIN, "dataset", "shots", "mode",
    "mean", "std", "n", "ci95_low", "ci95_high", "over", "missing",
)  # fmt: skip


@dataclass(frozen=True)
class EncoderInfo:
    """What tables and figures know of an encoder; the seeds of a pre-training share one."""

    label: str
    method: str
    arch: str
    source: str  # empty where it has none
    samples: int | None
    samples_seen: int | None = None  # when it was saved; None where it was not trained here
    snapshot: int | None = None  # the same number, where it was saved before the end

    @property
    def row(self) -> dict[str, object]:
        """As in every table that has cells or averages."""
        return {name: getattr(self, name) for name in ORIGIN}


@dataclass(frozen=True)
class Score:
    """What one cell says: test accuracy (share) of its chosen trial, None while incomplete."""

    origin: EncoderInfo
    seed: str  # of the pre-training; empty where it has none
    dataset: str
    shots: str  # "1", "5", ..., "full"
    draw: str
    mode: str
    top1: float | None


@dataclass(frozen=True)
class Average:
    """One mean with its interval; `over` says of what repetitions."""

    origin: EncoderInfo
    dataset: str  # or MEAN
    shots: str
    mode: str
    interval: Interval | None  # shares; None where no cell is complete
    over: Over
    missing: int  # cells that should be in it and are not

    @property
    def label(self) -> str:
        return self.origin.label

    @property
    def row(self) -> dict[str, object]:
        """As in averages.csv."""
        origin, found = self.origin, self.interval
        return {
            **origin.row,
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
        }


def read_averages(rows: Iterable[Row]) -> list[Average]:
    """From the rows of averages.csv."""
    return [
        Average(
            _origin(row),
            row["dataset"],
            row["shots"],
            row["mode"],
            _interval(row),
            "seeds" if row["over"] == "seeds" else "draws",
            int(row["missing"]),
        )
        for row in rows
    ]


def read_scores(rows: Iterable[Row]) -> list[Score]:
    """From the rows of cells.csv, which has complete cells only."""
    return [
        Score(
            _origin(row),
            row["pretrain_seed"],
            row["dataset"],
            row["shots"],
            row["draw"],
            row["mode"],
            number(row["test_top1"]),
        )
        for row in rows
    ]


def averages(planned: Sequence[Score]) -> list[Average]:
    """Per (label, mode, shots): one per data set, then the mean over data sets.

    The mean is taken over data sets within each draw first, and only where every data set's cells
    are complete; with one data set there is none.

    Args:
        planned: one score per planned cell, complete or not.
    """
    seeds: dict[EncoderInfo, set[str]] = {}
    for score in planned:
        seeds.setdefault(score.origin, set()).add(score.seed)
    result = []
    for (origin, mode, shots), group in grouped(planned).items():
        over: Over = "seeds" if len(seeds[origin]) > 1 else "draws"
        by_dataset = values(group)
        for dataset, found in by_dataset.items():
            missing = sum(score.top1 is None for score in group if score.dataset == dataset)
            result.append(Average(origin, dataset, shots, mode, spread(found, over), over, missing))
        if len(by_dataset) > 1 and all(score.top1 is not None for score in group):
            found = over_datasets(by_dataset)
            result.append(Average(origin, MEAN, shots, mode, spread(found, over), over, 0))
    return result


def grouped(scores: Iterable[Score]) -> dict[tuple[EncoderInfo, str, str], list[Score]]:
    """By (origin, mode, shots), in order of first appearance."""
    groups: dict[tuple[EncoderInfo, str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.origin, score.mode, score.shots), []).append(score)
    return groups


def values(group: Iterable[Score]) -> dict[str, Values]:
    """Data set -> (seed, draw) -> share; a data set stands there even if nothing is complete."""
    found: dict[str, Values] = {}
    for score in group:
        of_dataset = found.setdefault(score.dataset, {})
        if score.top1 is not None:
            of_dataset[(score.seed, score.draw)] = score.top1
    return found


def over_datasets(by_dataset: Mapping[str, Values]) -> Values:
    """The mean over data sets for every (seed, draw) that all of them have."""
    common = set.intersection(*(set(found) for found in by_dataset.values()))
    return {
        key: statistics.fmean([found[key] for found in by_dataset.values()])
        for key in sorted(common)
    }


def spread(found: Values, over: Over) -> Interval | None:
    """Over all values, or over seeds after averaging the draws within each."""
    points = list((found if over == "draws" else by_part(found, 0)).values())
    return interval(points) if points else None


def by_part(found: Values, part: int) -> dict[str, float]:
    """By seed (part 0) or by draw (part 1), averaged over the other."""
    groups: dict[str, list[float]] = {}
    for key, value in sorted(found.items()):
        groups.setdefault(key[part], []).append(value)
    return {name: statistics.fmean(group) for name, group in groups.items()}


def _origin(row: Row) -> EncoderInfo:
    numbers = (int(row[name]) if row[name] else None for name in ORIGIN[4:])
    return EncoderInfo(row["label"], row["method"], row["arch"], row["source"], *numbers)


def _interval(row: Row) -> Interval | None:
    mean = number(row["mean"])
    if mean is None:
        return None
    low, high = number(row["ci95_low"]), number(row["ci95_high"])
    return Interval(mean, int(row["n"]), number(row["std"]), low, high)
