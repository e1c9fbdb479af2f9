import itertools

import pytest

from hpc_xfer.results.intervals import Interval, interval


def test_three_values_have_the_interval_of_the_printed_table() -> None:
    found = interval([0.5, 0.6, 0.7])  # t(0.975, 2) = 4.3027 in Student's table
    assert found.mean == pytest.approx(0.6)
    assert found.std == pytest.approx(0.1)
    assert found.half == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert (found.low, found.high) == pytest.approx((0.351586, 0.848414), abs=1e-5)


def test_two_values_are_divided_by_one_not_two() -> None:
    found = interval([1.0, 3.0])
    assert found.std == pytest.approx(2**0.5)
    assert found.half == pytest.approx(12.7062, rel=1e-5)


def test_one_value_has_a_mean_and_no_spread() -> None:
    assert interval([0.4]) == Interval(0.4, 1, None, None, None)
    assert interval([0.4]).half is None


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_the_order_of_the_values_changes_no_bit() -> None:
    orders = itertools.permutations([0.1, 0.2, 0.3, 0.7])
    assert len({interval(order) for order in orders}) == 1


def test_equal_values_have_a_width_of_zero_since_it_was_measured() -> None:
    assert interval([0.5, 0.5, 0.5]).half == 0
