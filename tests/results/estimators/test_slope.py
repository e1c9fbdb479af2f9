import math
import random

import pytest
from scipy.stats import linregress

from hpc_xfer.results.estimators.estimate import student
from hpc_xfer.results.estimators.slope import Crossing, Line, crossing, fit_line

SIZES = (1_000_000, 2_700_000, 5_000_000, 9_600_000, 15_000_000)
NOISY = dict(zip(SIZES, (0.41, 0.52, 0.49, 0.58, 0.57), strict=True))


def rising(slope: float, *sizes: int) -> Line:
    """An exact line through 0.30 at 1,000 samples."""
    return fit_line((n, 0.30 + slope * math.log10(n / 1000)) for n in sizes)


def test_slope_error_and_fit_are_those_of_scipy() -> None:
    line = fit_line(NOISY.items())
    reference = linregress([math.log10(n) for n in NOISY], list(NOISY.values()))
    assert line.slope.value == pytest.approx(reference.slope)
    assert line.slope.se == pytest.approx(reference.stderr)
    assert line.slope.freedom == 3
    assert line.fit == pytest.approx(reference.rvalue**2)
    assert line.slope.p == pytest.approx(reference.pvalue)
    assert line.at(1).value == pytest.approx(reference.intercept)  # log10(1) is 0
    assert line.at(1).se == pytest.approx(reference.intercept_stderr)


def test_an_exact_line_has_a_slope_without_error() -> None:
    line = rising(0.1, 1000, 4000, 16_000)
    assert line.slope.value == pytest.approx(0.1)
    assert line.slope.se == pytest.approx(0, abs=1e-12)
    assert line.fit == pytest.approx(1)
    assert line.at(100_000).value == pytest.approx(0.5)


def test_points_of_one_size_are_averaged_first() -> None:
    twice = fit_line([(1000, 0.2), (1000, 0.4), (10_000, 0.5), (100_000, 0.7)])
    assert twice.slope.value == pytest.approx(0.2)
    assert twice.slope.se == pytest.approx(0, abs=1e-12)
    assert (twice.sizes, twice.slope.freedom) == (3, 1)


def test_the_order_of_the_points_changes_no_bit() -> None:
    assert fit_line(NOISY.items()) == fit_line(reversed(NOISY.items()))


def test_one_size_is_no_line() -> None:
    with pytest.raises(ValueError, match="1 sizes; a line needs at least two"):
        fit_line([(1000, 0.3), (1000, 0.4)])


def test_two_sizes_have_a_slope_and_a_crossing_between_them_without_interval() -> None:
    line = rising(0.1, 1000, 100_000)
    assert line.slope.interval() is None
    assert line.slope.why == "two sizes: no interval"
    found = crossing(line, 0.40, half_y=0.05)
    assert found.value == pytest.approx(10_000)
    assert (found.low, found.high, found.certain) == (None, None, False)
    assert found.why == "two sizes: no interval"
    assert crossing(line, 0.51).censored == "above"
    assert crossing(line, 0.29).censored == "below"


def test_an_exact_line_is_crossed_exactly() -> None:
    found = crossing(rising(0.1, 1000, 10_000, 100_000), 0.40)
    assert (found.low, found.value, found.high) == pytest.approx((10_000,) * 3, rel=1e-6)
    assert found.certain


def test_the_error_of_the_value_alone_widens_an_exact_line_by_its_slope() -> None:
    found = crossing(rising(0.1, 1000, 10_000, 100_000), 0.40, half_y=0.05)
    assert found.low == pytest.approx(10**3.5)  # 0.05 is half a decade
    assert found.high == pytest.approx(10**4.5)


def can_be(line: Line, y: float, half_y: float, samples: float) -> bool:
    """The definition of the set, for one size."""
    at = line.at(samples)
    assert at.se is not None and at.freedom is not None
    return abs(at.value - y) <= math.hypot(student(at.freedom) * at.se, half_y)


@pytest.mark.parametrize("y", [0.38, 0.47, 0.51, 0.56, 0.60])
@pytest.mark.parametrize("half_y", [0.0, 0.01])
def test_the_interval_spans_all_sizes_that_cannot_be_told_apart(y: float, half_y: float) -> None:
    line = fit_line(NOISY.items())
    found = crossing(line, y, half_y)
    low, high = found.low or line.smallest, found.high or line.largest
    steps = [line.smallest * (line.largest / line.smallest) ** (i / 2000) for i in range(2001)]
    inside = [n for n in steps if can_be(line, y, half_y, n)]
    assert inside
    assert low == pytest.approx(inside[0], rel=2e-3)
    assert high == pytest.approx(inside[-1], rel=2e-3)


def said(found: Crossing) -> tuple[object, ...]:
    return found.value, found.low, found.high, found.censored, found.certain


def test_beyond_the_largest_size_there_is_no_value_only_a_bound() -> None:
    found = crossing(rising(0.1, 1000, 10_000, 100_000), 0.60)  # the line says a million
    assert said(found) == (None, pytest.approx(100_000), None, "above", True)
    near = crossing(rising(0.1, 1000, 10_000, 100_000), 0.51, half_y=0.05)
    assert said(near) == (None, pytest.approx(10**4.6), None, "above", True)


def test_below_the_smallest_size_the_smallest_is_enough() -> None:
    found = crossing(rising(0.1, 1000, 10_000, 100_000), 0.20)
    assert said(found) == (None, None, pytest.approx(1000), "below", True)
    near = crossing(rising(0.1, 1000, 10_000, 100_000), 0.29, half_y=0.05)
    assert said(near) == (None, None, pytest.approx(10**3.4), "below", True)


def test_an_end_beyond_the_sizes_is_open() -> None:
    found = crossing(rising(0.1, 1000, 10_000, 100_000), 0.48, half_y=0.05)
    assert found.value == pytest.approx(10**4.8)
    assert found.low == pytest.approx(10**4.3)
    assert found.high is None
    assert found.certain


@pytest.mark.parametrize("slope", [0.0, -0.1])
def test_a_line_that_does_not_rise_reaches_no_more_than_its_smallest_size(slope: float) -> None:
    line = rising(slope, 1000, 10_000, 100_000)
    assert said(crossing(line, 0.31)) == (None, pytest.approx(100_000), None, "above", True)
    assert said(crossing(line, 0.29)) == (None, None, pytest.approx(1000), "below", True)


def test_noise_without_a_slope_bounds_nothing() -> None:
    line = fit_line([(1000, 0.40), (10_000, 0.50), (100_000, 0.42)])
    found = crossing(line, 0.44)
    assert found.value is not None
    assert (found.low, found.high, found.certain) == (None, None, True)


def test_a_set_of_two_parts_is_spanned_and_said() -> None:
    # The slope is not told apart from 0, and the line is sure in its middle alone.
    up_and_down = (0.400, 0.416, 0.395, 0.417, 0.404, 0.412, 0.402, 0.419)
    line = fit_line((1000 * 4.0**i, y) for i, y in enumerate(up_and_down))
    y = line.level + 0.0085
    inside = [can_be(line, y, 0.0, 1000 * 4.0 ** (i / 10)) for i in range(71)]
    assert inside[0] and inside[-1] and not all(inside)
    found = crossing(line, y)
    assert (found.low, found.high) == (None, None)
    assert found.why == "the interval spans a gap"


def test_the_interval_covers_the_true_crossing_at_least_as_often_as_it_says() -> None:
    draw = random.Random(3)
    true, t = 4_000_000, student(4)
    y = 0.1 * math.log10(true)
    covered = bounded = 0
    for _ in range(1000):
        line = fit_line((n, 0.1 * math.log10(n) + draw.gauss(0, 0.01)) for n in SIZES)
        ys = [y + draw.gauss(0, 0.01) for _ in range(5)]
        mean = math.fsum(ys) / 5
        half = t * math.sqrt(math.fsum((v - mean) ** 2 for v in ys) / 4 / 5)
        found = crossing(line, mean, half)
        covered += (found.low or 0) <= true <= (found.high or math.inf)
        bounded += found.low is not None and found.high is not None
    assert 0.95 <= covered / 1000 <= 0.99
    assert bounded > 500  # open ends alone would cover without saying anything
