import math

import pytest

from hpc_xfer.results.estimators.interpolated import Knot, reach
from hpc_xfer.results.estimators.slope import Crossing


def knots(*values: float, half: float | None = 0.0) -> list[Knot]:
    return [Knot(value, half) for value in values]


def test_a_value_half_way_between_two_knots_is_there() -> None:
    found = reach(knots(0.2, 0.4, 0.8), 0.6, half_y=0.0)
    assert (found.low, found.value, found.high) == pytest.approx((1.5, 1.5, 1.5))
    assert found.certain


def test_the_interval_follows_the_slopes_on_both_sides() -> None:
    found = reach(knots(0.2, 0.4, 0.8), 0.45, half_y=0.1)
    assert found.value == pytest.approx(1.125)
    assert found.low == pytest.approx(0.75)  # 0.35, on the first part
    assert found.high == pytest.approx(1.375)  # 0.55, on the second


def test_both_errors_count() -> None:
    found = reach(knots(0.0, 1.0, half=0.03), 0.5, half_y=0.04)
    assert (found.low, found.high) == pytest.approx((0.45, 0.55))


def test_a_value_above_the_last_knot_is_censored() -> None:
    assert reach(knots(0.2, 0.4), 0.9, 0.0) == Crossing(None, 1, None, "above", True)
    near = reach(knots(0.2, 0.4, half=0.0), 0.45, half_y=0.1)
    assert near.low == pytest.approx(0.75)


def test_a_value_below_the_first_knot_is_censored() -> None:
    assert reach(knots(0.2, 0.4), 0.1, 0.0) == Crossing(None, None, 0, "below", True)


def test_one_knot_can_only_bound() -> None:
    assert reach(knots(0.2), 0.3, 0.05) == Crossing(None, 0, None, "above", True)
    assert reach(knots(0.2), 0.3, 0.15) == Crossing(None, None, None, "above", True)


def test_without_the_interval_of_the_value_there_is_none() -> None:
    assert reach(knots(0.0, 1.0), 0.5, None) == Crossing(0.5, None, None, "", False)


def test_a_neighbor_without_interval_leaves_the_crossing_without() -> None:
    curve = [Knot(0.2, 0.01), Knot(0.4, None), Knot(0.8, 0.01)]
    found = reach(curve, 0.6, 0.01)
    assert found.value == pytest.approx(1.5)
    assert not found.certain


def test_the_interval_is_open_where_the_next_knot_has_none() -> None:
    curve = [Knot(0.2, 0.0), Knot(0.4, 0.0), Knot(0.8, None)]
    found = reach(curve, 0.38, half_y=0.1)
    assert found.low == pytest.approx(0.4)
    assert found.high is None
    assert found.certain


def test_a_curve_that_falls_again_has_an_interval_over_all_its_crossings() -> None:
    found = reach(knots(0.2, 0.6, 0.3, 0.7), 0.5, half_y=0.01)
    assert found.value == pytest.approx(0.75)
    assert found.high is not None and math.isclose(found.high, 2.525)
    assert found.why == "the interval spans a gap"
