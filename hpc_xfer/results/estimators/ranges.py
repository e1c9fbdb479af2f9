"""Best minus worst, and the spread between labels: how much a choice matters at all.

The best of several labels was lucky and the worst unlucky, so their observed difference is too
large, most of all where draws are noisy: with no effect at all, seven labels with three draws and a
noise of 3 points each show a range of 4.7 points. Hence an interval that knows of the choice (Tukey
1953), a range that is chosen on some draws and measured on others, and the spread with its noise
taken out, which alone compares few shots with full data.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hpc_xfer.results.estimators.estimate import LEVEL, Estimate
from hpc_xfer.results.estimators.family import Family
from hpc_xfer.results.estimators.over_sets import OverSets


@dataclass(frozen=True)
class Spread:
    """Standard deviation between labels without the noise, and the F test of "there is none".

    The interval inverts the F test: for a variance V between labels and N of the noise of their
    means, (observed variance of the means) / (N + V) has the F distribution. N is the estimate.
    """

    sd: float | None
    low: float | None
    high: float | None
    p: float | None
    freedom: float | None
    why: str = ""


def best_and_worst(family: Family | OverSets) -> tuple[str, str]:
    """Labels with the highest and the lowest mean; of equals the first by name.

    Labels that share no draws with the others take no part.
    """
    means = family.means
    return (
        max(family.comparable, key=lambda label: means[label]),
        min(reversed(family.comparable), key=lambda label: means[label]),
    )


def unbiased_range(family: Family | OverSets) -> float | None:
    """Best minus worst, chosen on the other repetitions, measured on the one left out; averaged.

    The one left out is a draw and, where all labels have the same number of several seeds, one
    seed of each too; where data sets are the repetitions, one of them. Without effect its
    expectation is 0. None with a single repetition or holes.
    """
    whole = _repeated(family)
    if whole is None or len(whole.comparable) < len(family.labels):
        return None
    cells = {label: _by_position(values) for label, values in whole.tables.items()}
    shapes = {tuple(sorted(values)) for values in cells.values()}
    if len(shapes) > 1 or len(cells) < 2:
        return None
    [places] = shapes
    seeds, draws = {seed for seed, _ in places}, {draw for _, draw in places}
    if len(draws) < 2 and len(seeds) < 2:
        return None
    found = []
    for seed, draw in places:
        others = [
            at
            for at in places
            if (at[0] != seed or len(seeds) == 1) and (at[1] != draw or len(draws) == 1)
        ]
        means = {
            label: statistics.fmean([values[at] for at in others])
            for label, values in sorted(cells.items())
        }
        best = max(means, key=lambda label: means[label])
        worst = min(reversed(list(means)), key=lambda label: means[label])
        found.append(cells[best][seed, draw] - cells[worst][seed, draw])
    return statistics.fmean(found)


def _repeated(family: Family | OverSets) -> Family | None:
    """The family whose repetitions its differences rest on; None where there is none."""
    if isinstance(family, Family):
        return family
    return family.as_blocks if family.once_per_set else family.averaged


def spread(family: Family | OverSets) -> Spread:
    """Variance of the label means minus that of their noise: (MSlabel - MSe) / K."""
    labels, means = family.comparable, family.means
    noise = [family.difference(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]
    if why := next((each.why for each in noise if each.se is None or each.why), ""):
        return Spread(None, None, None, None, None, why)
    squares = [each.se**2 / 2 for each in noise if each.se is not None]
    of_noise = statistics.fmean(squares)
    freedom = statistics.fmean([each.freedom or 0.0 for each in noise])
    between = statistics.variance(means[label] for label in labels)
    sd = math.sqrt(max(0.0, between - of_noise))
    if of_noise == 0:
        return Spread(sd, None, None, 0.0 if between else 1.0, freedom)
    from scipy.special import fdtrc, fdtri

    numerator, ratio = len(labels) - 1, between / of_noise
    low, high = (
        math.sqrt(max(0.0, of_noise * (ratio / float(fdtri(numerator, freedom, at)) - 1)))
        for at in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    )
    return Spread(sd, low, high, float(fdtrc(numerator, freedom, ratio)), freedom)


def best_minus_worst(family: Family | OverSets) -> tuple[str, str, Estimate]:
    """Best, worst and their difference.

    Its interval needs Tukey's critical value for the number of labels: multiplicity.tukey.
    """
    best, worst = best_and_worst(family)
    found = family.difference(best, worst)
    return best, worst, replace(found, value=max(found.value, 0.0))


def _by_position(values: Mapping[tuple[str, str], float]) -> dict[tuple[int, str], float]:
    """Number the seeds of a label, since labels need not have the same ones."""
    seeds = sorted({seed for seed, _ in values})
    return {(seeds.index(seed), draw): value for (seed, draw), value in values.items()}
