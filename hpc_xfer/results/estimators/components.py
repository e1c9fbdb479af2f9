"""Variance components: how much of the luck in an accuracy comes from draws, seeds and runs.

The table is label x seed x draw: each label has its own seeds of the pre-training, and all labels
share their draws. An accuracy is the sum of

    label + draw + (label x draw) + seed of the label + run,

and the method of moments reads the variance of each from mean squares. Labels may have unequal
numbers of seeds and cells may be missing; an estimate below 0 counts as 0.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, multimode
from typing import Literal

from hpc_xfer.results.estimators.crossed import Values, satterthwaite, two_way
from hpc_xfer.results.estimators.estimate import student

LEAST_FREEDOM = 1.2  # below, t is above 8 (two repetitions: 12.7), and no half-width is of use
Source = Literal["draw", "seed", "label x draw", "run"]
LabelTable = Mapping[str, Values]  # label -> (seed, draw) -> share


@dataclass(frozen=True)
class MeanSquare:
    """Sum of squares by degrees of freedom; `value` is None where there are none."""

    value: float | None
    freedom: int


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of a table, with what a component counts in them.

    With S seeds in every label, L labels and K draws their expected values are

        draw:         run + S (label x draw) + S L draw
        seed:         run + K seed
        label x draw: run + S (label x draw)
        run:          run

    With unequal seeds S is their harmonic mean; with missing cells K and L are what a seed and a
    draw stand for on average.
    """

    draw: MeanSquare
    seed: MeanSquare
    label_draw: MeanSquare
    run: MeanSquare
    seeds: Mapping[str, int]  # of each label
    draws: int
    per_label_draw: float  # S
    per_seed: float  # K
    per_draw: float  # L
    left_out: str  # labels whose seeds and draws do not overlap


@dataclass(frozen=True)
class Component:
    """Variance by one source of luck; `why` says why there is none, or what else is in it."""

    source: Source
    variance: float | None
    freedom: float | None  # of the mean square that it is read from
    why: str = ""

    @property
    def sd(self) -> float | None:
        return None if self.variance is None else math.sqrt(self.variance)


@dataclass(frozen=True)
class Components:
    """The variance components of one table."""

    draw: Component
    seed: Component
    label_draw: Component
    run: Component
    labels: int
    seeds: int  # that most labels have
    draws: int
    repeats: int  # seeds beyond the first, over all labels: degrees of freedom of the seeds
    left_out: str = ""  # labels that could not take part
    draws_matter: bool = True

    def half_width(self, seeds: int, draws: int) -> float | None:
        """Half of the 95% interval of a difference of two labels with so many seeds and draws.

        The draws of both labels are the same, so their luck cancels. The variance is
        2 (seed / S + label x draw / K + run / (S K)), with Satterthwaite's degrees of freedom.
        With one seed in the table it is for these pre-trainings alone, and only one can be asked.

        Returns:
            None where it cannot be estimated, or has too few degrees of freedom to be of use.
        """
        own = max(1, self.repeats + self.labels * (seeds - self.seeds))
        shared = (self.labels - 1) * (draws - 1)
        if self.labels < 2:
            return None
        if self.label_draw.variance is None:  # one draw
            if self.draws_matter or self.seed.variance is None or draws > 1:
                return None
            return _half(2 * self.seed.variance / seeds, own)
        if shared < 1:
            return None
        if self.run.variance is None or self.seed.variance is None:  # one seed
            return _half(2 * self.label_draw.variance / draws, shared) if seeds == 1 else None
        run = self.run.variance / (seeds * draws)
        by_seed = self.seed.variance / seeds + run
        by_draw = self.label_draw.variance / draws + run
        freedom = satterthwaite((by_seed, own), (by_draw, shared))
        return _half(2 * (by_seed + by_draw - run), freedom)


def components(table: LabelTable, draws_matter: bool = True) -> Components:
    """Estimate the variance components of a table.

    Args:
        table: label -> (seed, draw) -> share; cells may be missing.
        draws_matter: False at full data, where every draw trains on the same images. Then seeds
            with one draw each have a half-width too.
    """
    squares = mean_squares(table)
    common = sorted(multimode(squares.seeds.values()))
    return Components(
        draw=_draw(squares),
        seed=_seed(squares),
        label_draw=_label_draw(squares),
        run=_run(squares),
        labels=len(squares.seeds),
        seeds=common[0] if common else 0,
        draws=squares.draws,
        repeats=squares.seed.freedom,
        left_out=squares.left_out,
        draws_matter=draws_matter,
    )


def mean_squares(table: LabelTable) -> MeanSquares:
    """Compute the mean squares of a table, which may have missing cells.

    Seed and run are read within the labels, draw and label x draw from the means of each label over
    its seeds. Missing cells are fitted by Henderson's third method; the noise of a fitted mean is
    taken as that of the seeds it has.
    """
    fits = {label: two_way(table[label]) for label in sorted(table) if table[label]}
    within = {label: fit for label, fit in fits.items() if fit is not None}
    means = {(label, d): mean for label, fit in within.items() for d, mean in fit.columns.items()}
    counts = Counter((label, draw) for label in within for _, draw in table[label])
    between = two_way(means) if means else None
    rows = [fit for fit in within.values() if len(fit.rows) > 1]
    repeats = sum(len(fit.rows) - 1 for fit in rows)
    harmonic = 1 / fmean([1 / n for _, n in sorted(counts.items())]) if counts else 1.0
    seeds_by_draws = math.fsum((len(fit.rows) - 1) * fit.per_row for fit in rows)
    draws = len({draw for _, draw in means})
    unrelated = MeanSquare(None, 0)
    return MeanSquares(
        draw=_mean_square(harmonic * between.ss_columns, draws - 1) if between else unrelated,
        seed=_mean_square(math.fsum(fit.ss_rows for fit in rows), repeats),
        label_draw=_mean_square(harmonic * between.ss_rest, between.freedom_rest)
        if between
        else unrelated,
        run=_mean_square(
            math.fsum(fit.ss_rest for fit in rows), sum(fit.freedom_rest for fit in rows)
        ),
        seeds={label: len(fit.rows) for label, fit in within.items()},
        draws=draws,
        per_label_draw=harmonic,
        per_seed=seeds_by_draws / repeats if repeats else 1.0,
        per_draw=between.per_column if between else 1.0,
        left_out="; ".join(label for label, fit in fits.items() if fit is None),
    )


def _mean_square(total: float, freedom: int) -> MeanSquare:
    return MeanSquare(total / freedom if freedom > 0 else None, max(0, freedom))


def _run(squares: MeanSquares) -> Component:
    if squares.run.value is None:
        why = "one draw" if squares.draws < 2 else "one seed: it is in label x draw"
        return Component("run", None, None, why)
    return Component("run", squares.run.value, squares.run.freedom)


def _label_draw(squares: MeanSquares) -> Component:
    found, run = squares.label_draw, squares.run.value
    if found.value is None:
        return Component("label x draw", None, None, _few(squares))
    if run is None:
        return Component("label x draw", found.value, found.freedom, "includes run: one seed")
    variance = max(0.0, found.value - run) / squares.per_label_draw
    return Component("label x draw", variance, found.freedom)


def _seed(squares: MeanSquares) -> Component:
    if squares.seed.value is None:
        return Component("seed", None, None, "one seed")
    if squares.run.value is None:
        return Component("seed", squares.seed.value, squares.seed.freedom, "includes run: one draw")
    variance = max(0.0, squares.seed.value - squares.run.value) / squares.per_seed
    return Component("seed", variance, squares.seed.freedom)


def _draw(squares: MeanSquares) -> Component:
    found = squares.draw
    if found.value is None:
        return Component("draw", None, None, _few(squares))
    if len(squares.seeds) > 1:
        noise, why = squares.label_draw.value, ""
    elif squares.run.value is None:
        noise, why = 0.0, "includes label x draw and run: one label, one seed"
    else:
        noise, why = squares.run.value, "includes label x draw: one label"
    variance = max(0.0, found.value - (noise or 0.0)) / (squares.per_label_draw * squares.per_draw)
    return Component("draw", variance, found.freedom, why)


def _few(squares: MeanSquares) -> str:
    if not squares.seeds:
        return "no result"
    if squares.draws < 2:
        return "one draw"
    return "one label" if len(squares.seeds) < 2 else "the labels share too few draws"


def _half(variance: float, freedom: float) -> float | None:
    if freedom < LEAST_FREEDOM:
        return None
    return student(freedom) * math.sqrt(max(0.0, variance))
