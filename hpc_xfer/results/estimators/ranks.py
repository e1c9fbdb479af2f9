"""Average ranks of labels over data sets: Friedman's test and Nemenyi's critical difference.

A rank asks which label is ahead in most data sets, and not by how much. The data sets are the
repetitions: two average ranks further apart than the critical difference are told apart in data
sets like these. It knows nothing of seeds, draws and test images.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hpc_xfer.results.estimators.multiplicity import tukey

LEAST = 3  # labels, and data sets, for the test
_DECIMALS = 9  # sums in another order differ beyond; they are ties


@dataclass(frozen=True)
class Ranking:
    """Average ranks of labels, 1 the best; no test with fewer than three labels or sets."""

    ranks: Mapping[str, float]  # by label, in the order they came
    datasets: int
    chi_square: float | None  # Friedman's, corrected for ties
    p: float | None
    critical_difference: float | None  # Nemenyi's, at 5% over all pairs

    def not_told_apart(self, label: str) -> list[str]:
        """List the other labels within the critical difference; none where there is no test."""
        if self.critical_difference is None:
            return []
        own, most = self.ranks[label], self.critical_difference
        return [name for name, r in self.ranks.items() if name != label and abs(r - own) <= most]


def ranking(table: Mapping[str, Sequence[float]]) -> Ranking:
    """Rank the labels within each data set, the highest value first, and average the ranks.

    Args:
        table: label -> one value per data set, all in the same order.

    Raises:
        ValueError: there is no value, or the labels have different numbers of them.
    """
    lengths = {len(values) for values in table.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError("ranks need one value per label and data set")
    labels, datasets = len(table), lengths.pop()
    columns = [_ranks(values) for values in zip(*table.values(), strict=True)]
    means = [fmean(ranks) for ranks in zip(*columns, strict=True)]
    enough = labels >= LEAST and datasets >= LEAST
    square = _friedman(columns) if enough else None
    return Ranking(
        ranks=dict(zip(table, means, strict=True)),
        datasets=datasets,
        chi_square=square,
        p=_above(square, labels - 1) if square is not None else None,
        critical_difference=critical_difference(labels, datasets) if enough else None,
    )


def critical_difference(labels: int, datasets: int) -> float:
    """Nemenyi's: q / sqrt(2) times the standard error of a difference of two average ranks."""
    return tukey(labels, math.inf) * math.sqrt(labels * (labels + 1) / (6 * datasets))


def _ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value, the highest 1; equal values share the mean of their ranks."""
    found = [round(value, _DECIMALS) for value in values]
    count = Counter(found)
    first = {value: 1 + sum(n for other, n in count.items() if other > value) for value in count}
    return [first[value] + (count[value] - 1) / 2 for value in found]


def _friedman(columns: Sequence[Sequence[float]]) -> float:
    """Friedman's chi-square of ranks (data set -> label), with the correction for ties."""
    datasets, labels = len(columns), len(columns[0])
    sums = [math.fsum(ranks) for ranks in zip(*columns, strict=True)]
    ties = sum(n**3 - n for ranks in columns for n in Counter(ranks).values())
    correction = 1 - ties / (datasets * (labels**3 - labels))
    if correction == 0:  # all values of every data set are equal
        return 0.0
    squares = math.fsum(total**2 for total in sums)
    plain = 12 * squares / (datasets * labels * (labels + 1)) - 3 * datasets * (labels + 1)
    return plain / correction


def _above(square: float, freedom: int) -> float:
    """Probability of a chi-square above this one."""
    from scipy.special import chdtrc

    return float(chdtrc(freedom, max(0.0, square)))
