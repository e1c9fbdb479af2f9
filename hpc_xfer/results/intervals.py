"""Mean, spread and a 95% interval of a few numbers.

    interval([0.61, 0.58, 0.63])

Student's t interval, mean ± t(0.975, n - 1) s / sqrt(n): Student, "The probable error of a mean",
Biometrika 6 (1908). With three draws t is 4.3, not the 1.96 of large samples.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """The mean of n numbers and its uncertainty; one number has no spread: None, never 0."""

    mean: float
    n: int
    std: float | None  # of the sample: n - 1 in the denominator
    low: float | None  # ends of the 95% interval; not cut to [0, 1]
    high: float | None

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95% interval; the same numbers in any order give the same bits.

    Args:
        values: independent repetitions (draws or seeds), in any one unit.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values; an interval needs at least one")
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Interval(mean, n, None, None, None)
    std = statistics.stdev(values)
    half = _student(n - 1) * std / n**0.5
    return Interval(mean, n, std, mean - half, mean + half)


def _student(freedom: int) -> float:
    """The factor t of a two-sided interval for so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))
