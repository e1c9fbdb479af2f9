"""The place where a curve through a few measured means reaches a value, with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpc_xfer.results.estimators.slope import Crossing, Pieces, bounded, solve


@dataclass(frozen=True)
class Knot:
    """One measured mean of a curve."""

    value: float
    half: float | None  # half the width of its 95% interval; None where it has none


def reach(knots: Sequence[Knot], y: float, half_y: float | None) -> Crossing:
    """Find where a curve first reaches a value; places count the knots from 0, 1.5 is half-way.

    Between two knots the curve is straight. A place belongs to the interval if
    |f - y| <= sqrt(half_f^2 + half_y^2), as in slope.crossing. The half-width is interpolated as
    well: two neighbors share draws, so their errors do not cancel.

    Args:
        knots: at least one, in the order of the places.
        half_y: half the width of the 95% interval of y; None where it has none.
    """
    found = _first(knots, y)
    if half_y is None:
        return found
    last = len(knots) - 1
    at = {"below": 0.0, "above": float(last)}.get(found.censored, found.value)
    assert at is not None
    first, end = _measured(knots, math.floor(at), math.ceil(at))
    if first > end:
        return found
    pieces = _pieces(knots, first, end, y, half_y)
    return bounded(pieces, found.value, found.censored, first, end)


def _first(knots: Sequence[Knot], y: float) -> Crossing:
    """The crossing without its interval."""
    none = Crossing(None, None, None, "", False)
    if knots[0].value >= y:
        return replace(none, censored="below")
    for i in range(1, len(knots)):
        before, here = knots[i - 1].value, knots[i].value
        if here >= y:
            return replace(none, value=i - 1 + (y - before) / (here - before))
    return replace(none, censored="above")


def _measured(knots: Sequence[Knot], first: int, last: int) -> tuple[int, int]:
    """Widen to all neighbors that have intervals; empty (1, 0) if these have none."""
    if any(knot.half is None for knot in knots[first : last + 1]):
        return 1, 0
    while first > 0 and knots[first - 1].half is not None:
        first -= 1
    while last + 1 < len(knots) and knots[last + 1].half is not None:
        last += 1
    return first, last


def _pieces(knots: Sequence[Knot], first: int, last: int, y: float, half_y: float) -> Pieces:
    halves = [knot.half or 0.0 for knot in knots]
    if first == last:
        near = abs(knots[first].value - y) <= math.hypot(halves[first], half_y)
        return [(first, first)] if near else []
    pieces: Pieces = []
    for i in range(first, last):
        off, rise = knots[i].value - y, knots[i + 1].value - knots[i].value
        half, wider = halves[i], halves[i + 1] - halves[i]
        constant = off**2 - half**2 - half_y**2
        found = solve(rise**2 - wider**2, 2 * (off * rise - half * wider), constant, 0, 1)
        for start, end in found:
            if pieces and i + start - pieces[-1][1] < 1e-9:  # it goes on over the knot
                pieces[-1] = (pieces[-1][0], i + end)
            else:
                pieces.append((i + start, i + end))
    return pieces
