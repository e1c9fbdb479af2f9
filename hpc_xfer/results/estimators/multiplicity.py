"""Many comparisons at once: critical values of Tukey and Dunnett, p-values adjusted by Holm.

    tukey(7, 12.0)       # 3.50: multiple of the standard error of a difference, all 21 pairs
    dunnett(6, 12.0)     # 2.98: six labels against one
    holm([.01, .04])     # [.02, .04]

A family of comparisons shares one standard error, estimated with `freedom` degrees of freedom. The
simultaneous interval of each is difference ± critical value x standard error of a difference. At
95% all intervals of a family hold together in 95% of the studies.

Both distributions are integrals over the error s (a chi variable) and over one normal variable z
that all comparisons share. The trapezoidal rule solves them in a millisecond or two, to nine digits
for 20 labels. scipy.stats.studentized_range takes 100 ms for the same number and half a second to
be imported, and scipy has no Dunnett for fractional degrees of freedom. docs/statistics.md names
the sources.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from hpc_xfer.results.estimators.estimate import LEVEL, student

_LEAST_WEIGHT = 1e-15  # smaller ones change no digit that is used
# Degrees of freedom from which an error counts as known: it is within 1e-5 of its true value, and
# the density below, a small difference times the freedom, overflows from 1e20 on. Means of equal
# draws have such freedoms: the variance of rounding beside the known one of test images.
_KNOWN = 1e10
_WIDEST = 8.5  # a normal variable is beyond it with probability 2e-17
_Array = Any  # numpy's, which is imported inside functions: commands start without it


@functools.lru_cache(maxsize=4096)
def tukey(labels: int, freedom: float, level: float = LEVEL) -> float:
    """The critical value for all pairwise differences: studentized range / sqrt(2).

    Args:
        labels: how many are compared, two or more; with two it is Student's t.
        freedom: degrees of freedom of the shared error; fractional and infinite ones are fine.
        level: probability that all intervals hold.
    """
    pairs = labels * (labels - 1) // 2
    return _solved(lambda t: _range_beyond(t, labels, freedom), pairs, freedom, level)


@functools.lru_cache(maxsize=4096)
def dunnett(
    comparisons: int, freedom: float, level: float = LEVEL, correlation: float = 0.5
) -> float:
    """The two-sided critical value for several labels against one.

    Args:
        comparisons: labels without the one that all are compared with; with one it is Student's t.
        freedom: degrees of freedom of the shared error; fractional and infinite ones are fine.
        level: probability that all intervals hold.
        correlation: of two differences, below 1; 0.5 where the shared label has as many repetitions
            as each other.
    """
    return _solved(
        lambda t: _largest_beyond(t, comparisons, freedom, correlation),
        comparisons,
        freedom,
        level,
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values for their number; they come back in the order given.

    The smallest is multiplied by their number, the next by one less, and so on; none is below the
    one before it, and none above 1.
    """
    adjusted = [1.0] * len(ps)
    least = 0.0
    for done, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, ps[i] * (len(ps) - done)))
        adjusted[i] = least
    return adjusted


def _solved(
    beyond: Callable[[float], float], comparisons: int, freedom: float, level: float
) -> float:
    """Find where `beyond` is 1 - level: between one comparison and Bonferroni's many."""
    low = student(freedom, level)
    if comparisons == 1:
        return low
    high = student(freedom, 1 - (1 - level) / comparisons)
    return _root(lambda t: math.log(beyond(t) / (1 - level)), low, high)


def _root(of: Callable[[float], float], low: float, high: float) -> float:
    """Find where a decreasing function is 0, between two points on both sides of it.

    The secant rule, where the value at an end that stays is halved (Illinois). The logarithm of a
    tail is nearly straight, so five evaluations give nine digits.
    """
    at_low, at_high = of(low), of(high)
    side = 0
    while high - low > 1e-9 * high:
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < middle < high:
            break
        found = of(middle)
        if abs(found) < 1e-9:
            return middle
        if found > 0:
            low, at_low = middle, found
            at_high = at_high / 2 if side == 1 else at_high
            side = 1
        else:
            high, at_high = middle, found
            at_low = at_low / 2 if side == -1 else at_low
            side = -1
    return (low + high) / 2


def _largest_beyond(t: float, comparisons: int, freedom: float, correlation: float) -> float:
    """The probability that the largest of several differences is above t standard errors."""
    if math.isinf(t):
        return 0.0
    from scipy.special import ndtr

    errors, chances = _errors(freedom)
    z, weights = _half_normal()  # z and -z have the same chance
    shared, own = math.sqrt(correlation), math.sqrt(1 - correlation)
    edge = (t / own) * errors[:, None]
    missed = ndtr(shared / own * z - edge) + ndtr(-shared / own * z - edge)
    return float(chances @ _any_of(missed, comparisons) @ weights)


def _range_beyond(t: float, labels: int, freedom: float) -> float:
    """The probability that some two labels differ by more than t standard errors.

    z is the highest label: all others lie within the range below it.
    """
    from scipy.special import ndtr

    errors, chances = _errors(freedom)
    z, weights = _normal()
    width = (t * math.sqrt(2)) * errors[:, None]
    within = (ndtr(z) - ndtr(z - width)) ** (labels - 1)
    return float(1 - labels * (chances @ within @ weights))


def _any_of(missed: _Array, comparisons: int) -> _Array:
    """1 - (1 - missed) ** comparisons, exact for small chances too."""
    import numpy as np

    return -np.expm1(comparisons * np.log1p(-np.minimum(missed, 1 - 1e-16)))


_STEP = 0.3  # between points of a normal variable


@functools.cache
def _normal() -> tuple[_Array, _Array]:
    """Points of a normal variable and their weights, which sum to 1."""
    import numpy as np

    z = np.arange(-_WIDEST, _WIDEST + _STEP / 2, _STEP)
    return z, _density(z)


@functools.cache
def _half_normal() -> tuple[_Array, _Array]:
    """Points from 0 on, for what is the same at z and -z."""
    import numpy as np

    z = np.arange(0, _WIDEST + _STEP / 2, _STEP)
    return z, _density(z) * np.where(z > 0, 2, 1)


def _density(z: _Array) -> _Array:
    import numpy as np

    return np.exp(-z * z / 2) * (_STEP / math.sqrt(2 * math.pi))


@functools.lru_cache(maxsize=256)
def _errors(freedom: float) -> tuple[_Array, _Array]:
    """Points of an estimated standard error over the true one, and their weights.

    The square is chi-squared over its degrees of freedom. Its logarithm u has a smooth density
    with its peak at 0, exp(freedom x (u - exp(2u)/2 + 1/2)) by a factor, which dies out on both
    sides.
    """
    import numpy as np

    if freedom > _KNOWN:
        return np.ones(1), np.ones(1)
    far = -math.log(_LEAST_WEIGHT) / freedom
    near = math.sqrt(3 * far)
    step = min(0.15, 0.4 / math.sqrt(freedom))
    u = np.arange(-(near if near < 1 else far + 0.5), math.sqrt(far), step)
    weights = np.exp(freedom * (u - np.exp(2 * u) / 2 + 0.5))
    kept = weights > _LEAST_WEIGHT
    return np.exp(u[kept]), weights[kept] / weights.sum()
