"""Variance components: how much of the luck in an accuracy comes from draws, seeds and runs.

The table is label x seed x draw: each label has its own seeds of the pre-training, and all labels
share their draws. An accuracy is the sum of

    label + draw + (label x draw) + seed of the label + run,

and the method of moments reads the variance of each from mean squares. Labels may have unequal
numbers of seeds; the estimates are unbiased all the same. An estimate below 0 counts as 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, multimode
from typing import Literal

from hpc_xfer.results.estimators.crossed import satterthwaite
from hpc_xfer.results.estimators.estimate import student

LEAST_FREEDOM = 1.2  # below, t is above 8 (two repetitions: 12.7), and no half-width is of use
Source = Literal["draw", "seed", "label x draw", "run"]
LabelTable = Mapping[str, Mapping[tuple[str, str], float]]  # label -> (seed, draw) -> share
Unit = tuple[str, str]  # (label, seed): one pre-training
Line = tuple[int, str | Unit]  # 0, a draw; or 1, a pre-training
Units = Mapping[Unit, Mapping[str, float]]  # one pre-training -> draw -> share


@dataclass(frozen=True)
class MeanSquare:
    """Sum of squares by degrees of freedom; `value` is None where there are none."""

    value: float | None
    freedom: int


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of the part of a table that is complete.

    With S seeds in every label and K draws their expected values are

        draw:         run + S (label x draw) + S L draw
        seed:         run + K seed
        label x draw: run + S (label x draw)
        run:          run

    and with unequal seeds S is their harmonic mean.
    """

    draw: MeanSquare
    seed: MeanSquare
    label_draw: MeanSquare
    run: MeanSquare
    seeds: Mapping[str, int]  # of each label
    draws: int
    used: str  # which part of the table, where it is not all of it

    @property
    def harmonic(self) -> float:
        return 1 / fmean([1 / count for count in self.seeds.values()])


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
    repeats: int = 0  # seeds beyond the first, over all labels: degrees of freedom of the seeds
    used: str = ""  # which part of the table, where it is not all of it
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
        used=squares.used,
        draws_matter=draws_matter,
    )


def mean_squares(table: LabelTable) -> MeanSquares:
    """Compute the mean squares of the draws that all pre-trainings have.

    Where cells are missing, lines (a draw, or a pre-training) are left out one by one, first the
    one that lacks most, until the rest is complete.
    """
    everything: dict[Unit, dict[str, float]] = {}
    for label, values in table.items():
        for (seed, draw), value in values.items():
            everything.setdefault((label, seed), {})[draw] = value
    units = {unit: everything[unit] for unit in sorted(everything)}
    draws = sorted({draw for found in units.values() for draw in found})
    kept, common = _complete_part(units, draws)
    by_label: dict[str, list[list[float]]] = {}
    for unit in kept:
        by_label.setdefault(unit[0], []).append([units[unit][draw] for draw in common])
    used = _used((len(kept), len(units)), (len(common), len(draws)))
    return _mean_squares(by_label, len(common), used)


def _mean_squares(by_label: Mapping[str, list[list[float]]], draws: int, used: str) -> MeanSquares:
    """Compute the mean squares of label -> seed -> draw, complete."""
    means = [_columns(rows) for rows in by_label.values()]  # label -> draw, over seeds
    seeds = {label: len(rows) for label, rows in by_label.items()}
    labels, repeats = len(seeds), sum(seeds.values()) - len(seeds)
    harmonic = 1 / fmean([1 / n for n in seeds.values()]) if seeds else 0.0
    by_draw = _columns(means)
    within = [math.fsum(_deviations(rows)) for rows in by_label.values()]
    between = [_squares([fmean(row) for row in rows]) for rows in by_label.values()]
    return MeanSquares(
        draw=_mean_square(harmonic * labels * _squares(by_draw), draws - 1),
        seed=_mean_square(draws * math.fsum(between), repeats),
        label_draw=_mean_square(
            harmonic * math.fsum(_deviations(means)), max(0, labels - 1) * (draws - 1)
        ),
        run=_mean_square(math.fsum(within), repeats * (draws - 1)),
        seeds=seeds,
        draws=draws,
        used=used,
    )


def _mean_square(total: float, freedom: int) -> MeanSquare:
    return MeanSquare(total / freedom if freedom > 0 else None, max(0, freedom))


def _columns(rows: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(column) for column in zip(*rows, strict=True)]


def _squares(values: Sequence[float]) -> float:
    mean = fmean(values) if values else 0.0
    return math.fsum((value - mean) ** 2 for value in values)


def _deviations(rows: Sequence[Sequence[float]]) -> list[float]:
    """Squares of what is left of each value without the mean of its row and of its column."""
    columns = _columns(rows)
    mean = fmean(columns) if columns else 0.0
    return [
        (value - own - column + mean) ** 2
        for row in rows
        for own in [fmean(row)]
        for value, column in zip(row, columns, strict=True)
    ]


def _complete_part(units: Units, draws: Sequence[str]) -> tuple[list[Unit], list[str]]:
    """Leave out the line that lacks the largest share until nothing is missing.

    Of two such lines the one with fewer values goes first, then the last in order.
    """
    kept, common = list(units), list(draws)
    while kept and common:
        lines: list[tuple[float, int, Line]] = [
            *((1 - _share(units, [unit], common), -len(common), (1, unit)) for unit in kept),
            *((1 - _share(units, kept, [draw]), -len(kept), (0, draw)) for draw in common),
        ]
        lacks, _, (kind, line) = max(lines)
        if lacks == 0:
            break
        if kind:
            kept = [unit for unit in kept if unit != line]
        else:
            common = [draw for draw in common if draw != line]
    return kept, common


def _share(units: Units, kept: Sequence[Unit], common: Sequence[str]) -> float:
    there = sum(draw in units[unit] for unit in kept for draw in common)
    return there / (len(kept) * len(common))


def _used(units: tuple[int, int], draws: tuple[int, int]) -> str:
    parts = [
        f"{kept} of {n} {name}"
        for (kept, n), name in ((units, "pre-trainings"), (draws, "draws"))
        if kept < n
    ]
    return f"from {' and '.join(parts)}, the rest has gaps" if parts else ""


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
    variance = max(0.0, found.value - run) / squares.harmonic
    return Component("label x draw", variance, found.freedom)


def _seed(squares: MeanSquares) -> Component:
    if squares.seed.value is None:
        return Component("seed", None, None, "one seed")
    if squares.run.value is None:
        return Component("seed", squares.seed.value, squares.seed.freedom, "includes run: one draw")
    variance = max(0.0, squares.seed.value - squares.run.value) / squares.draws
    return Component("seed", variance, squares.seed.freedom)


def _draw(squares: MeanSquares) -> Component:
    found = squares.draw
    if found.value is None:
        return Component("draw", None, None, _few(squares))
    labels = len(squares.seeds)
    if labels > 1:
        noise, why = squares.label_draw.value, ""
    elif squares.run.value is None:
        noise, why = 0.0, "includes label x draw and run: one label, one seed"
    else:
        noise, why = squares.run.value, "includes label x draw: one label"
    variance = max(0.0, found.value - (noise or 0.0)) / (squares.harmonic * labels)
    return Component("draw", variance, found.freedom, why)


def _few(squares: MeanSquares) -> str:
    if not squares.seeds or not squares.draws:
        return "no result"
    return "one draw" if squares.draws < 2 else "one label"


def _half(variance: float, freedom: float) -> float | None:
    if freedom < LEAST_FREEDOM:
        return None
    return student(freedom) * math.sqrt(max(0.0, variance))
