"""Scores: one test accuracy per cell, and how they are grouped and averaged.

The unit of repetition is what an interval is about. A label with several pre-training seeds is
averaged over draws within each seed first, and its interval is over seeds; with one seed it is
over draws.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from hpc_xfer.results import csv_files
from hpc_xfer.results.csv_files import Row
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.intervals import Interval, interval

Over = Literal["draws", "seeds"]
Values = dict[tuple[str, str], float]  # (seed, draw) -> share
Group = tuple[EncoderInfo, str, str]  # encoder, mode, shots


@dataclass(frozen=True)
class Score:
    """Test accuracy of the trial chosen in one cell; the fields are columns of cells.csv."""

    encoder: EncoderInfo
    pretrain_seed: str  # empty where the encoder has none
    dataset: str
    shots: str  # "1", "5", ..., "full"
    draw: str
    mode: str
    test_top1: float | None  # share; None while the cell is incomplete
    labels: int | None = None  # images whose labels were used, to train and to choose
    n_test: int | None = None  # test images


def read_scores(rows: Iterable[Row]) -> list[Score]:
    """Read the rows of cells.csv, which has complete cells only."""
    return [csv_files.typed(Score, row, encoder=csv_files.typed(EncoderInfo, row)) for row in rows]


def grouped(scores: Iterable[Score]) -> dict[Group, list[Score]]:
    """Group scores by (encoder, mode, shots), in order of first appearance."""
    groups: dict[Group, list[Score]] = {}
    for score in scores:
        groups.setdefault((score.encoder, score.mode, score.shots), []).append(score)
    return groups


def by_dataset(group: Iterable[Score]) -> dict[str, Values]:
    """Data set -> (seed, draw) -> share; a data set without a complete cell has no values."""
    found: dict[str, Values] = {}
    for score in group:
        values = found.setdefault(score.dataset, {})
        if score.test_top1 is not None:
            values[(score.pretrain_seed, score.draw)] = score.test_top1
    return found


def over_datasets(datasets: Mapping[str, Values]) -> Values:
    """Average over data sets, for every (seed, draw) that all of them have."""
    common = set.intersection(*(set(values) for values in datasets.values()))
    return {
        key: statistics.fmean([values[key] for values in datasets.values()])
        for key in sorted(common)
    }


def spread(values: Values, over: Over) -> Interval | None:
    """The interval over all values, or over seeds after averaging the draws within each."""
    points = list((values if over == "draws" else by_seed(values)).values())
    return interval(points) if points else None


def by_seed(values: Values) -> dict[str, float]:
    """Seed -> mean over its draws."""
    return _averaged((seed, value) for (seed, _), value in sorted(values.items()))


def by_draw(values: Values) -> dict[str, float]:
    """Draw -> mean over its seeds."""
    return _averaged((draw, value) for (_, draw), value in sorted(values.items()))


def _averaged(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return {name: statistics.fmean(group) for name, group in groups.items()}
