"""Rows of the answer tables: gaps, scaling, ranks, variance, selection.

The fields are the columns, in this order; csv_files.typed reads them back. Accuracies and their
differences are shares (0.05 is 5 points). An empty cell was not measured or cannot be said, and
`why` says why. `target` names what the interval covers: E1 other draws, for this one pre-training;
E2 also other seeds of the pre-training; `sets` other data sets. `images_low` and `images_high` are
E3, also other test images.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from hpc_xfer.results.estimators.estimate import Target
from hpc_xfer.results.tables.csv_files import Table, fixed, significant

GapKind = Literal["pair", "best-worst", "spread"]
ScalingKind = Literal["slope", "crossing", "labels"]
Verdict = Literal["a", "b", "not told apart", ""]


@dataclass(frozen=True)
class Gap:
    """Two levels of an axis at equal other settings, or all levels of it at once.

    pair: a minus b. best-worst: the range over all levels; a is the best, b the worst. spread: the
    standard deviation between all levels, noise taken out.
    """

    axis: str  # source | samples | method | curation | arch | scratch | name of a setting
    kind: GapKind
    family: str  # comparisons that share one error rate: the same axis, mode, shots, data set, `at`
    at: str  # the settings that all levels share, such as "clip RN50 2.7M"
    a: str  # label of an encoder
    b: str
    level_a: str
    level_b: str
    mode: str
    dataset: str  # or "mean"
    shots: str
    difference: float
    ci95_low: float | None  # simultaneous in the family: Tukey, for scratch Dunnett
    ci95_high: float | None
    images_low: float | None
    images_high: float | None
    p: float | None
    p_holm: float | None  # in the family
    comparisons: int  # in the family
    levels: int
    unbiased: float | None  # best-worst: chosen on the other draws, scored on the one left out
    freedom: float | None
    target: Target
    seeds_a: int
    seeds_b: int
    draws: int
    datasets: int
    left_out: str  # data sets that the mean leaves out, with the reason
    missing: int  # cells that should be in it and are not
    differs: str  # other settings in which a and b differ too, such as "crop, flip"
    verdict: Verdict  # which is higher, by the simultaneous interval; empty without one
    why: str  # there is no interval


@dataclass(frozen=True)
class Scaling:
    """One statement on size: a slope, a crossing, or labels saved.

    slope: accuracy per decade of samples (share), over the sizes of one series. crossing: `value`
    times more samples of the series reach the accuracy of `reference`, relative to the samples of
    the reference, or to the smallest size of the series where it has none. labels: the shots at
    which `series` reaches what `reference` has at `shots`; `sizes`, `smallest` and `largest` are
    shots then. An end of an interval that lies beyond what was measured is empty, and `text` says
    "at least" or "at most".
    """

    kind: ScalingKind
    series: str  # label without its size; of `labels`, a label
    reference: str  # label; empty for a slope
    mode: str
    dataset: str  # or "mean"
    shots: str
    sizes: int  # of the series
    smallest: int | None  # samples
    largest: int | None
    value: float | None  # None where it is censored or cannot be said
    ci95_low: float | None
    ci95_high: float | None  # None with `censored`: beyond the largest size
    base: int | None  # samples that `value` is a multiple of
    censored: str  # "", "above" (more than the largest size) or "below" (the smallest is enough)
    fit: float | None  # R squared of the slope
    freedom: float | None
    target: Target
    text: str  # the statement in words
    why: str


@dataclass(frozen=True)
class Rank:
    """Average rank of a label over data sets (1 is the best), Friedman's test beside it."""

    mode: str
    shots: str
    label: str
    rank: float
    datasets: int
    labels: int
    friedman_p: float | None
    critical_difference: float | None
    not_told_apart: str  # labels within the critical difference of this one, "; " between them
    left_out: str


@dataclass(frozen=True)
class Variance:
    """One source of luck: how much an accuracy varies by it, and what more of it would cost."""

    mode: str
    dataset: str
    shots: str
    component: str  # draw | seed | label x draw | run | image
    sd: float | None  # share
    freedom: float | None
    repeats: int  # how many there are: draws, seeds, test images
    half_width: float | None  # of a difference of two labels, now
    half_width_more: float | None  # with one more draw, or one more seed
    cost_hours: float | None  # GPU-hours (CPU-hours without a GPU) of one more for all labels
    text: str  # "one more seed takes 0.8 points off for 12 GPU-hours"
    why: str


@dataclass(frozen=True)
class SelectionBias:
    """The choice of validation against what a choice on the test set would have reported."""

    mode: str
    dataset: str
    shots: str
    cells: int
    chosen: float  # mean test accuracy of what validation chose
    best: float  # of the best on test: what test-set selection would report
    bias: float  # best - chosen
    tuned: str  # lr, l2, ...
    low: int  # cells at the low end of the grid of `tuned`
    high: int
    trials: int  # values per cell
    differs: str  # labels whose grids differ from the others', if any


AnswerRow = Gap | Scaling | Rank | Variance | SelectionBias


def table_of(kind: type[AnswerRow], rows: Iterable[AnswerRow]) -> Table:
    """Make a table of rows of one class; numbers have fixed decimals, None is empty."""
    return _columns(kind), [as_row(row) for row in rows]


def as_row(row: AnswerRow) -> dict[str, object]:
    """Format a row for its CSV: numbers with fixed decimals, None empty."""
    values = vars(row).items()  # in the order of the fields
    small = _far_below_1(row)
    return {
        name: (significant if name in small else fixed)(value)
        if isinstance(value, float)
        else value
        for name, value in values
    }


def _far_below_1(row: AnswerRow) -> tuple[str, ...]:
    """Name the numbers that six decimals may turn into 0: probabilities, and factors of samples.

    Half a million of two billion samples is 0.00025, and a rehearsal has factors of 1e-7.
    """
    if isinstance(row, Scaling):
        return ("value", "ci95_low", "ci95_high") if row.kind == "crossing" else ()
    return _PROBABILITIES.get(type(row), ())


_PROBABILITIES: dict[type[AnswerRow], tuple[str, ...]] = {
    Gap: ("p", "p_holm"),
    Rank: ("friedman_p",),
}


def _columns(kind: type[AnswerRow]) -> tuple[str, ...]:
    """List the columns of a table by the class of its rows."""
    return tuple(field.name for field in fields(kind))
