"""Differences and means over several data sets, each counting the same.

With several seeds, the sets are averaged within each seed and draw first, since a seed is the same
encoder on all of them. With one seed, the draws of different sets have nothing in common: variances
add, with the degrees of freedom of Welch (1947). Where each set has one value of a label, the sets
are the repetitions: label x set blocks, as label x draw blocks within a set.
"""

import functools
import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hpc_xfer.results.estimators.crossed import (
    NO_OVERLAP,
    ONE_DRAW,
    ONE_VALUE,
    TWO,
    Values,
    crossed,
    satterthwaite,
)
from hpc_xfer.results.estimators.estimate import Estimate
from hpc_xfer.results.estimators.family import Family, Tables

LEAST_SETS = 3  # that can be repetitions


@dataclass(frozen=True)
class OverSets:
    """Families of the same labels on several data sets."""

    sets: Sequence[Family]
    averaged: Family | None  # of the averages within each seed and draw that all sets have
    several: bool  # some label has several seeds

    @staticmethod
    def of(sets: Sequence[Tables], draws_matter: bool = True) -> "OverSets":
        """Take the labels that all sets have."""
        labels = sorted(set.intersection(*(set(tables) for tables in sets)))
        averaged = {label: over_sets([tables[label] for tables in sets]) for label in labels}
        common = {label: values for label, values in averaged.items() if values}
        families = [Family.of({name: t[name] for name in labels}, draws_matter) for t in sets]
        return OverSets(
            families,
            Family.of(common, draws_matter) if common else None,
            any(family.seed_variance is not None for family in families),
        )

    @property
    def labels(self) -> list[str]:
        return self.sets[0].labels

    @property
    def comparable(self) -> list[str]:
        """The labels that can be compared over the same seeds and draws, or on every set."""
        if self.several:
            return [] if self.averaged is None else self.averaged.comparable
        return sorted(set.intersection(*(set(family.comparable) for family in self.sets)))

    def seeds(self, label: str) -> int:
        if self.averaged is None or label not in self.averaged.tables:
            return min(family.seeds(label) for family in self.sets)
        return self.averaged.seeds(label)

    @property
    def means(self) -> dict[str, float]:
        each = [family.means for family in self.sets]
        plain = {name: statistics.fmean([means[name] for means in each]) for name in self.labels}
        if not self.several or self.averaged is None:
            return plain
        return plain | self.averaged.means

    def difference(self, a: str, b: str) -> Estimate:
        """Estimate a minus b, on average over the sets."""
        found = self._difference(a, b)
        if found.why not in (ONE_VALUE, ONE_DRAW) or len(self.sets) < LEAST_SETS:
            return found
        over = self.as_blocks.difference(a, b)
        return replace(over, seeds=found.seeds, draws=found.draws, target="sets")

    @property
    def once_per_set(self) -> bool:
        """True where the sets are the only repetitions."""
        first, second = (self.comparable if len(self.comparable) > 1 else self.labels)[:2]
        return self.difference(first, second).target == "sets"

    @functools.cached_property
    def as_blocks(self) -> Family:
        """The same labels with one value per data set, their mean."""
        tables: dict[str, dict[tuple[str, str], float]] = {name: {} for name in self.labels}
        for number, family in enumerate(self.sets):
            for name, mean in family.means.items():
                tables[name]["", str(number)] = mean
        return Family.of(tables)

    def _difference(self, a: str, b: str) -> Estimate:
        if not self.several:
            return welch([family.difference(a, b) for family in self.sets])
        if self.averaged is None or not {a, b} <= set(self.averaged.tables):
            return Estimate(self.means[a] - self.means[b], why=NO_OVERLAP)
        return self.averaged.difference(a, b)

    def mean(self, label: str, draws: Sequence[Collection[str]]) -> Estimate:
        """Mean of a label over these draws of each set; see Family.mean."""
        if self.several and self.averaged is not None and label in self.averaged.tables:
            return self.averaged.mean(label, set.intersection(*map(set, draws)))
        return welch([family.mean(label, d) for family, d in zip(self.sets, draws, strict=True)])


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
