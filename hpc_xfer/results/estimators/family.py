"""A family: labels measured on the same draws, compared with each other.

    family = Family.of({"clip": values, "simclr": values})
    family.difference("clip", "simclr")

Every label sees the same draws, so the luck of a draw cancels in a difference and the rest of the
label x draw table is its noise: MSe with (L - 1)(K - 1) degrees of freedom, pooled over all labels.
Seeds are nested in labels; their variance, pooled over the labels that have several, is added for
both sides, also for a side with a single seed, which cannot show its own:

    variance of a - b = Vs (1 / Sa + 1 / Sb) + 2 MSe / K

Two labels with the same several seeds are paired by seed and draw instead.
"""

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hpc_xfer.results.estimators.crossed import (
    NO_OVERLAP,
    ONE_DRAW,
    ONE_VALUE,
    TWO,
    TwoWay,
    Values,
    crossed,
    row_contrast,
    satterthwaite,
    two_way,
)
from hpc_xfer.results.estimators.estimate import Estimate

Tables = Mapping[str, Values]  # label -> its values


@dataclass(frozen=True)
class SeedVariance:
    """The luck of the pre-training, pooled over the labels that have several seeds."""

    of_one: float  # variance of the mean over draws of one seed, with the rest in it
    rest: float  # the part of `of_one` that is not the seed's
    freedom: int


@dataclass(frozen=True)
class Family:
    """Labels with what they share: the noise of draws and the variance of seeds."""

    tables: Tables
    by_draw: Values  # (label, draw) -> mean over seeds
    draws: int
    block: TwoWay | None  # of `by_draw`; None where labels and draws do not overlap
    seed_variance: SeedVariance | None
    draws_matter: bool

    @staticmethod
    def of(tables: Tables, draws_matter: bool = True) -> "Family":
        """Take the labels that have values; see the fields.

        Args:
            tables: label -> (seed, draw) -> share.
            draws_matter: False at full data, where every draw trains on the same images.
        """
        fits = {label: _seeds_by_draws(values) for label, values in sorted(tables.items())}
        by_draw = {(label, d): v for label, fit in fits.items() for d, v in fit.columns.items()}
        return Family(
            tables=tables,
            by_draw=by_draw,
            draws=len({draw for _, draw in by_draw}),
            block=two_way(by_draw),
            seed_variance=_seed_variance({n: fit for n, fit in fits.items() if len(fit.rows) > 1}),
            draws_matter=draws_matter,
        )

    @property
    def labels(self) -> list[str]:
        return sorted(self.tables)

    def seeds(self, label: str) -> int:
        return len({seed for seed, _ in self.tables[label]})

    @property
    def means(self) -> dict[str, float]:
        """Label -> mean over the same draws for all, holes filled by the fit."""
        if self.block is None:
            return {
                label: statistics.fmean(values.values()) for label, values in self.tables.items()
            }
        return dict(self.block.rows)

    def difference(self, a: str, b: str) -> Estimate:
        """Estimate a minus b; see the module for its variance."""
        mine, theirs = self.tables[a], self.tables[b]
        draws = len({draw for _, draw in mine} & {draw for _, draw in theirs})
        seeds = min(self.seeds(a), self.seeds(b))
        if len(self.tables) == 2 and _paired(mine, theirs):
            both = {key: mine[key] - theirs[key] for key in sorted(set(mine) & set(theirs))}
            return crossed(both, self.draws_matter)
        value = self.means[a] - self.means[b]
        return replace(self._noise(value, a, b), seeds=seeds, draws=draws)

    def _noise(self, value: float, a: str, b: str) -> Estimate:
        seeds = self.seed_variance
        if self.block is None:
            return Estimate(value, why=NO_OVERLAP)
        if self.draws == 1 and seeds is None:
            return Estimate(value, why=ONE_VALUE)
        if self.draws == 1 and self.draws_matter:
            return Estimate(value, why=ONE_DRAW)
        freedom = self.block.freedom_rest
        if self.draws > 1 and not freedom:
            return Estimate(value, why=NO_OVERLAP)
        rest = self.block.ss_rest / freedom * row_contrast(self.by_draw, a, b) if freedom else 0.0
        if seeds is None:
            found = Estimate(value, math.sqrt(rest), float(freedom), "E1")
            return replace(found, why=TWO) if freedom == 1 else found
        each = 1 / self.seeds(a) + 1 / self.seeds(b)
        own = seeds.of_one * each
        variance = max(own + rest - seeds.rest * each, own, rest)
        parts = [(own, seeds.freedom), *([(rest, freedom)] if freedom else [])]
        found = Estimate(value, math.sqrt(variance), satterthwaite(*parts), "E2")
        return replace(found, why=TWO) if seeds.freedom + freedom < 2 else found


@dataclass(frozen=True)
class OverSets:
    """Families of the same labels on several data sets, each set counting the same.

    Where each set has one value of a label, the sets are the repetitions: label x set blocks, as
    label x draw blocks within a set.

    With several seeds, the sets are averaged within each seed and draw first, since a seed is the
    same encoder on all of them. With one seed, the draws of different sets have nothing in common:
    variances add, with the degrees of freedom of Welch (1947).
    """

    sets: Sequence[Family]
    averaged: Family  # of the averages within each seed and draw

    @staticmethod
    def of(sets: Sequence[Tables], draws_matter: bool = True) -> "OverSets":
        """Take the labels that all sets have.

        Raises:
            ValueError: a label has no seed and draw in common between sets.
        """
        labels = sorted(set.intersection(*(set(tables) for tables in sets)))
        averaged = {label: over_sets([tables[label] for tables in sets]) for label in labels}
        if apart := [label for label, values in averaged.items() if not values]:
            raise ValueError(f"no seed and draw in common between data sets: {apart}")
        return OverSets(
            [Family.of({name: t[name] for name in labels}, draws_matter) for t in sets],
            Family.of(averaged, draws_matter),
        )

    @property
    def labels(self) -> list[str]:
        return self.averaged.labels

    @property
    def by_draw(self) -> Values:
        return self.averaged.by_draw

    def seeds(self, label: str) -> int:
        return self.averaged.seeds(label)

    @property
    def means(self) -> dict[str, float]:
        if self.averaged.seed_variance is not None:
            return self.averaged.means
        each = [family.means for family in self.sets]
        return {name: statistics.fmean([means[name] for means in each]) for name in self.labels}

    def difference(self, a: str, b: str) -> Estimate:
        """Estimate a minus b, on average over the sets."""
        if self.averaged.seed_variance is not None:
            found = self.averaged.difference(a, b)
        else:
            found = welch([family.difference(a, b) for family in self.sets])
        if found.why in (ONE_VALUE, ONE_DRAW) and len(self.sets) > 2:
            over = self.as_blocks.difference(a, b)
            return replace(over, seeds=found.seeds, draws=found.draws, target="sets")
        return found

    @functools.cached_property
    def as_blocks(self) -> Family:
        """The same labels with one value per data set, their mean."""
        tables: dict[str, dict[tuple[str, str], float]] = {name: {} for name in self.labels}
        for number, family in enumerate(self.sets):
            for name, mean in family.means.items():
                tables[name]["", str(number)] = mean
        return Family.of(tables)


def welch(sets: Sequence[Estimate]) -> Estimate:
    """Average estimates of unrelated sets: variances add, degrees of freedom by Satterthwaite."""
    found = Estimate(
        statistics.fmean([each.value for each in sets]),
        seeds=min(each.seeds for each in sets),
        draws=min(each.draws for each in sets),
        why=next((each.why for each in sets if each.se is None), ""),
    )
    if found.why:
        return found
    parts = [(e.se**2 / len(sets) ** 2, e.freedom) for e in sets if e.se is not None and e.freedom]
    freedom = satterthwaite(*parts)
    return replace(
        found,
        se=math.sqrt(math.fsum(part for part, _ in parts)),
        freedom=freedom,
        target=min((each.target for each in sets), key=("", "sets", "E1", "E2").index),
        why=TWO if freedom < 1.5 else "",
    )


def mean_over_sets(sets: Sequence[Values], draws_matter: bool = True) -> Estimate:
    """Mean of one label over data sets, each counting the same; see OverSets."""
    several = any(len({seed for seed, _ in values}) > 1 for values in sets)
    averaged = over_sets(sets)
    if several and averaged:
        return crossed(averaged, draws_matter)
    return welch([crossed(values, draws_matter) for values in sets])


def over_sets(sets: Sequence[Values]) -> Values:
    """Average over data sets, for every seed and draw that all of them have."""
    common = set.intersection(*(set(values) for values in sets))
    return {key: statistics.fmean([values[key] for values in sets]) for key in sorted(common)}


def _paired(mine: Values, theirs: Values) -> bool:
    """True where both have the same several seeds and cells in common to pair."""
    seeds = {seed for seed, _ in mine}
    return (
        len(seeds) > 1 and seeds == {seed for seed, _ in theirs} and bool(set(mine) & set(theirs))
    )


def _seeds_by_draws(values: Values) -> TwoWay:
    """Fit one label; where its seeds and draws do not overlap, its largest connected part."""
    fit = two_way(values)
    if fit is not None:
        return fit
    seeds = sorted({seed for seed, _ in values})
    most = max(seeds, key=lambda name: sum(seed == name for seed, _ in values))
    part = two_way({key: value for key, value in values.items() if key[0] == most})
    assert part is not None, "one seed is connected"
    return part


def _seed_variance(fits: Mapping[str, TwoWay]) -> SeedVariance | None:
    """Pool the mean squares of seeds over the labels that have several seeds."""
    if not fits:
        return None
    freedom = sum(len(fit.rows) - 1 for fit in fits.values())
    freedom_rest = sum(fit.freedom_rest for fit in fits.values())
    # Each label's own number of draws per seed, weighted by its degrees of freedom.
    of_one = math.fsum(fit.ss_rows / fit.per_row for fit in fits.values()) / freedom
    square = math.fsum(fit.ss_rest for fit in fits.values()) / max(1, freedom_rest)
    per_row = statistics.fmean([fit.per_row for fit in fits.values()])
    return SeedVariance(of_one, square / per_row, freedom)
