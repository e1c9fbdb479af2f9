"""Accuracy against the logarithm of the samples: a straight line, and where it reaches a value.

The interval of the crossing is Fieller's set ("Some problems in interval estimation", Journal of
the Royal Statistical Society B 16, 1954): every size at which the line and the value cannot be
told apart. The set ends at the smallest and the largest size, never beyond. So a true factor near
the largest size is rarely found: of 10 times, with sizes up to 15 times, 94% of studies can only
say "more than".
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hpc_xfer.results.estimators.estimate import Estimate, student

Censored = Literal["", "above", "below"]
TWO_SIZES = "two sizes: no interval"
Pieces = list[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """Least squares of accuracy on log10(samples), over the means of the sizes."""

    slope: Estimate  # accuracy per decade: ten times more samples
    center: float  # mean of log10(samples)
    level: float  # accuracy at the center
    spread: float  # sum of squares of log10(samples) about the center
    noise: float | None  # standard deviation of the means about the line; None with two sizes
    fit: float | None  # R squared; None where all means are equal
    sizes: int
    smallest: float
    largest: float

    def at(self, samples: float) -> Estimate:
        """Predict the accuracy; its standard error is of the line, without the noise of a mean."""
        off = math.log10(samples) - self.center
        value = self.level + self.slope.value * off
        if self.noise is None:
            return Estimate(value, why=self.slope.why)
        se = self.noise * math.sqrt(1 / self.sizes + off**2 / self.spread)
        return Estimate(value, se, self.slope.freedom)


@dataclass(frozen=True)
class Crossing:
    """The place where a curve first reaches a value, as far as it was measured.

    With `certain`, an end that is None is open: the interval goes beyond the places measured.
    Without, there is no interval.
    """

    value: float | None  # None where it is censored
    low: float | None
    high: float | None
    censored: Censored  # "above": not reached at the last place; "below": at the first already
    certain: bool
    why: str = ""  # there is no interval, or it has a gap


def fit_line(points: Iterable[tuple[float, float]]) -> Line:
    """Fit the line; points of equal size are averaged first.

    Args:
        points: samples and accuracy.

    Raises:
        ValueError: there are fewer than two sizes.
    """
    found: dict[float, list[float]] = {}
    for samples, accuracy in points:
        found.setdefault(samples, []).append(accuracy)
    if (n := len(found)) < 2:
        raise ValueError(f"{n} sizes; a line needs at least two")
    sizes = sorted(found)
    x = [math.log10(samples) for samples in sizes]
    y = [math.fsum(found[samples]) / len(found[samples]) for samples in sizes]
    center, level = math.fsum(x) / n, math.fsum(y) / n
    spread = math.fsum((a - center) ** 2 for a in x)
    total = math.fsum((b - level) ** 2 for b in y)
    slope = math.fsum((a - center) * (b - level) for a, b in zip(x, y, strict=True)) / spread
    left = math.fsum((b - level - slope * (a - center)) ** 2 for a, b in zip(x, y, strict=True))
    noise = math.sqrt(left / (n - 2)) if n > 2 else None
    return Line(
        slope=Estimate(slope, why=TWO_SIZES)
        if noise is None
        else Estimate(slope, noise / math.sqrt(spread), n - 2),
        center=center,
        level=level,
        spread=spread,
        noise=noise,
        fit=1 - left / total if total > 0 else None,
        sizes=n,
        smallest=sizes[0],
        largest=sizes[-1],
    )


def crossing(line: Line, y: float, half_y: float = 0.0) -> Crossing:
    """Find the samples at which the line reaches an accuracy.

    A size belongs to the set if |f(x) - y| <= sqrt((t se_f(x))^2 + half_y^2). Adding the squares
    of the half-widths, each with its own t, keeps at least the level (Banerjee, "On confidence
    interval for two-means problem", Sankhya 23, 1961), and 3 sizes do not blow up the error of y
    by their t of 12.7.

    Args:
        y: the accuracy to reach.
        half_y: half the width of its own 95% interval; 0 takes it as exact.
    """
    low, high = (math.log10(size) - line.center for size in (line.smallest, line.largest))
    rise, off = line.slope.value, line.level - y
    value: float | None = None
    censored: Censored = ""
    if off + rise * low >= 0:
        censored = "below"
    elif rise <= 0 or off + rise * high < 0:
        censored = "above"
    else:
        value = min(max(-off / rise, low), high)
    if line.noise is None or line.slope.freedom is None:
        return Crossing(_samples(line, value), None, None, censored, False, line.slope.why)
    error = (student(line.slope.freedom) * line.noise) ** 2
    square = rise**2 - error / line.spread
    pieces = solve(square, 2 * rise * off, off**2 - error / line.sizes - half_y**2, low, high)
    if rise <= 0 and censored == "below":  # where the falling line meets y again is of no interest
        pieces = [piece for piece in pieces if piece[0] == low] and [(low, high)]
    found = bounded(pieces, value, censored, low, high)
    return Crossing(
        _samples(line, found.value),
        _samples(line, found.low),
        _samples(line, found.high),
        censored,
        True,
        found.why,
    )


def bounded(
    pieces: Sequence[tuple[float, float]],
    value: float | None,
    censored: Censored,
    low: float,
    high: float,
) -> Crossing:
    """Make the interval from the pieces of a set; it spans all of them.

    An end that touches the first or the last place is open. Without pieces the value is surely
    beyond the last place, or before the first.

    Args:
        pieces: ascending, within low and high.
    """
    gap = "the interval spans a gap" if len(pieces) > 1 else ""
    if censored == "above":
        start = pieces[0][0] if pieces else high
        return Crossing(None, None if pieces and start <= low else start, None, censored, True, gap)
    if censored == "below":
        end = pieces[-1][1] if pieces else low
        return Crossing(None, None, None if pieces and end >= high else end, censored, True, gap)
    assert value is not None
    start = min([value, *(piece[0] for piece in pieces)])  # rounding may leave an exact value out
    end = max([value, *(piece[1] for piece in pieces)])
    return Crossing(
        value,
        None if start <= low else start,
        None if end >= high else end,
        censored,
        True,
        gap,
    )


def solve(square: float, linear: float, constant: float, low: float, high: float) -> Pieces:
    """List the parts of [low, high] where square x^2 + linear x + constant <= 0, ascending."""
    if square == 0:
        if linear == 0:
            return [(low, high)] if constant <= 0 else []
        root = -constant / linear
        return _within([(-math.inf, root) if linear > 0 else (root, math.inf)], low, high)
    under_root = linear**2 - 4 * square * constant
    if under_root < 0 and square < 0:
        return [(low, high)]
    # This form loses no digits where square is small.
    far = -(linear + math.copysign(math.sqrt(max(under_root, 0.0)), linear)) / 2
    first, last = sorted([far / square, constant / far if far else 0.0])
    outside = [(-math.inf, first), (last, math.inf)]
    return _within([(first, last)] if square > 0 else outside, low, high)


def _within(pieces: Pieces, low: float, high: float) -> Pieces:
    cut = [(max(start, low), min(end, high)) for start, end in pieces]
    return [(start, end) for start, end in cut if start <= end]


def _samples(line: Line, place: float | None) -> float | None:
    return None if place is None else 10 ** (line.center + place)
