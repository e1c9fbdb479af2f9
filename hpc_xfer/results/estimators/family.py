"""A family: labels measured on the same draws, compared with each other.

    family = Family.of({"clip": values, "simclr": values})
    family.difference("clip", "simclr")

Every label sees the same draws, so the luck of a draw cancels in a difference and the rest of the
label x draw table is its noise: MSe with (L - 1)(K - 1) degrees of freedom, pooled over all labels.
Seeds are nested in labels; their variance, pooled over the labels that have several, is added for
both sides, also for a side with a single seed, which cannot show its own:

    variance of a - b = Vs (1 / Sa + 1 / Sb) + 2 MSe / K

Two labels with the same several seeds are paired by seed and draw instead.

Labels may lack draws: effects of labels and draws are fitted, so a label without a lucky draw is
no worse for it. Labels that share no draw with the others, not even over further labels, cannot be
compared with them.
"""

import functools
import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from hpc_xfer.results.estimators.contrasts import Contrasts
from hpc_xfer.results.estimators.crossed import (
    FEW,
    NO_OVERLAP,
    ONE_DRAW,
    ONE_VALUE,
    TWO,
    TwoWay,
    Values,
    crossed,
    parts,
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
    fits: Mapping[str, TwoWay]  # label -> its seeds by draws
    by_draw: Values  # (label, draw) -> mean over seeds, of the labels that share draws
    draws: int
    block: TwoWay  # of `by_draw`
    seed_variance: SeedVariance | None
    draws_matter: bool

    @staticmethod
    def of(tables: Tables, draws_matter: bool = True) -> "Family":
        """Take the labels that have values; see the fields.

        Args:
            tables: label -> (seed, draw) -> share.
            draws_matter: False at full data, where every draw trains on the same images.
        """
        fits = {label: _largest_part(values)[1] for label, values in sorted(tables.items())}
        means = {(label, d): v for label, fit in fits.items() for d, v in fit.columns.items()}
        by_draw, block = _largest_part(means)
        return Family(
            tables=tables,
            fits=fits,
            by_draw=by_draw,
            draws=len({draw for _, draw in by_draw}),
            block=block,
            seed_variance=_seed_variance({n: fit for n, fit in fits.items() if len(fit.rows) > 1}),
            draws_matter=draws_matter,
        )

    @property
    def labels(self) -> list[str]:
        return sorted(self.tables)

    @property
    def comparable(self) -> list[str]:
        """The labels that share draws, if only over others."""
        return sorted(self.block.rows)

    def seeds(self, label: str) -> int:
        return len(self.fits[label].rows)

    @property
    def means(self) -> dict[str, float]:
        """Label -> mean over the same draws for all, holes filled by the fit."""
        return {label: self.block.rows.get(label, fit.mean) for label, fit in self.fits.items()}

    def mean(self, label: str, draws: Collection[str]) -> Estimate:
        """Mean of a label over these draws; those that it lacks are filled from the other labels.

        What a label lacks adds noise of label x draw, by the mean square of the rest.
        """
        values = self.tables[label]
        own = self.fits[label]
        have = {draw for _, draw in values}
        lacks = sorted(draw for draw in draws if draw in self.block.columns and draw not in have)
        if not lacks or label not in self.block.rows or len(own.columns) < len(have):
            return crossed(values, self.draws_matter)
        lead = self.block.rows[label] - self.block.mean - own.mean
        filled = {
            (seed, draw): lead + at_seed + self.block.columns[draw]
            for seed, at_seed in own.rows.items()
            for draw in lacks
        }
        found = replace(crossed({**values, **filled}, self.draws_matter), draws=len(have))
        freedom = self.block.freedom_rest
        if found.se is None or found.freedom is None or found.why:
            return found
        if not freedom:
            return Estimate(found.value, seeds=found.seeds, draws=found.draws, why=FEW)
        all_draws = have | set(lacks)
        # Filled values vary like the draws alone, so the spread of all has label x draw in part.
        counted = (len(have) - 1) / (len(all_draws) - 1) / len(all_draws)
        more = self._contrasts.mean(label, all_draws) - counted
        extra = max(0.0, more) * self.block.ss_rest / freedom
        return replace(found, se=math.sqrt(found.se**2 + extra))

    @functools.cached_property
    def _contrasts(self) -> Contrasts:
        return Contrasts.of(self.by_draw)

    def _contrast(self, a: str, b: str) -> float:
        block = self.block
        if len(self.by_draw) == len(block.rows) * len(block.columns):
            return 2 / len(block.columns)
        return self._contrasts.difference(a, b)

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
        if a not in self.block.rows or b not in self.block.rows:
            return Estimate(value, why=NO_OVERLAP)
        if self.draws == 1 and seeds is None:
            return Estimate(value, why=ONE_VALUE)
        if self.draws == 1 and self.draws_matter:
            return Estimate(value, why=ONE_DRAW)
        freedom = self.block.freedom_rest
        if self.draws > 1 and not freedom:
            return Estimate(value, why=FEW)
        rest = self.block.ss_rest / freedom * self._contrast(a, b) if freedom else 0.0
        if seeds is None:
            found = Estimate(value, math.sqrt(rest), float(freedom), "E1")
            return replace(found, why=TWO) if freedom == 1 else found
        each = 1 / self.seeds(a) + 1 / self.seeds(b)
        own = seeds.of_one * each
        variance = max(own + rest - seeds.rest * each, own, rest)
        variances = [(own, seeds.freedom), *([(rest, freedom)] if freedom else [])]
        found = Estimate(value, math.sqrt(variance), satterthwaite(*variances), "E2")
        return replace(found, why=TWO) if seeds.freedom + freedom < 2 else found


def _paired(mine: Values, theirs: Values) -> bool:
    """True where both have the same several seeds, with cells of each seed in common."""
    seeds = {seed for seed, _ in mine}
    common = {seed for seed, _ in set(mine) & set(theirs)}
    return len(seeds) > 1 and seeds == {seed for seed, _ in theirs} == common


def _largest_part(values: Values) -> tuple[Values, TwoWay]:
    """Fit a table; where its rows and columns do not overlap, its largest connected part."""
    if (fit := two_way(values)) is not None:
        return values, fit
    part, *_ = parts(values)
    fit = two_way(part)
    assert fit is not None, "one part is connected"
    return part, fit


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
