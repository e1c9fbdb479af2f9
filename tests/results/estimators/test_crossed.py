"""Means of tables of seeds by draws, against numbers worked out by hand and by statsmodels."""

import random
from collections.abc import Sequence

import pytest

from hpc_xfer.results.estimators.crossed import ONE_DRAW, ONE_VALUE, TWO, crossed, two_way
from hpc_xfer.results.estimators.estimate import Estimate, hull

SEEDS_BY_DRAWS = [[0.30, 0.52, 0.41], [0.34, 0.50, 0.45], [0.28, 0.49, 0.40]]


def table(rows: Sequence[Sequence[float | None]]) -> dict[tuple[str, str], float]:
    """(seed, draw) -> value; None is a hole."""
    return {
        (str(i), str(j)): value
        for i, row in enumerate(rows)
        for j, value in enumerate(row)
        if value is not None
    }


def half(found: Estimate) -> float:
    ends = found.interval()
    assert ends is not None
    return (ends[1] - ends[0]) / 2


def test_seeds_and_draws_both_count_as_luck() -> None:
    fit = two_way(table(SEEDS_BY_DRAWS))
    assert fit is not None
    squares = (fit.ss_rows / 2, fit.ss_columns / 2, fit.ss_rest / 4)
    assert squares == pytest.approx((0.0012, 0.029233, 0.000333), abs=1e-6)
    found = crossed(table(SEEDS_BY_DRAWS))
    assert (found.value, half(found)) == pytest.approx((0.41, 0.231609), abs=1e-6)
    assert (found.target, found.seeds, found.draws) == ("E2", 3, 3)


def test_equal_seeds_do_not_hide_the_luck_of_the_draw() -> None:
    """Three seeds agree to 0.1 points on each draw, and the draws are 10 points apart."""
    rows = [[0.301 + s, 0.401 + s, 0.501 + s] for s in (-0.001, 0.0, 0.001)]
    found = crossed(table(rows))
    assert found.value == pytest.approx(0.401)
    assert half(found) == pytest.approx(0.248, abs=0.002)


def test_one_seed_has_an_interval_over_draws_for_this_one_pretraining() -> None:
    found = crossed(table([[0.61, 0.58, 0.63]]))
    assert (found.target, found.freedom) == ("E1", 2)
    assert half(found) == pytest.approx(4.302653 * 0.0251661 / 3**0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "draws_matter", "why"),
    [
        ([[0.4]], True, ONE_VALUE),
        ([[0.4, 0.5]], True, TWO),
        ([[0.4], [0.5]], False, TWO),
        ([[0.3], [0.45], [0.6]], True, ONE_DRAW),
        ([[0.4, None], [None, 0.5]], True, "seeds and draws do not overlap: no interval"),
    ],
)
def test_no_interval_is_given_where_none_is_known(
    rows: list[list[float | None]], draws_matter: bool, why: str
) -> None:
    found = crossed(table(rows), draws_matter)
    assert (found.interval(), found.p, found.why) == (None, None, why)


def test_at_full_data_seeds_with_one_draw_are_repetitions() -> None:
    found = crossed(table([[0.3], [0.45], [0.6]]), draws_matter=False)
    assert (found.target, found.freedom) == ("E2", 2)
    assert half(found) == pytest.approx(4.302653 * 0.15 / 3**0.5, rel=1e-5)


def test_a_hole_does_not_shift_the_mean_by_the_luck_of_its_draw() -> None:
    """Draw 1 is lucky by 20 points for everybody; the seed that lacks it is no worse for that."""
    whole = crossed(table([[0.30, 0.50, 0.40], [0.31, 0.51, 0.41], [0.29, 0.49, 0.39]]))
    holed = crossed(table([[0.30, 0.50, 0.40], [0.31, 0.51, 0.41], [0.29, None, 0.39]]))
    assert holed.value == pytest.approx(whole.value, abs=1e-9)
    assert half(holed) == pytest.approx(half(whole), rel=0.2)


def test_mean_squares_with_holes_are_those_of_analysis_of_variance() -> None:
    from pandas import DataFrame
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    luck = random.Random(0)
    rows: list[list[float | None]] = [[luck.gauss(0.5, 0.1) for _ in range(4)] for _ in range(3)]
    rows[0][1] = rows[2][3] = None
    values = table(rows)
    fit = two_way(values)
    frame = DataFrame([{"seed": s, "draw": d, "y": y} for (s, d), y in values.items()])
    reference = anova_lm(ols("y ~ C(seed) + C(draw)", frame).fit(), typ=2)
    assert fit is not None
    assert [fit.ss_rows, fit.ss_columns, fit.ss_rest] == pytest.approx(
        reference["sum_sq"].tolist(), rel=1e-9
    )
    assert fit.freedom_rest == reference["df"].iloc[-1]


def test_the_variance_of_test_images_adds_and_makes_the_degrees_of_freedom_grow() -> None:
    found = Estimate(0.5, 0.02, 2.0, "E1", image_variance=0.0004)
    wider = found.with_images()
    assert (wider.se, wider.freedom) == pytest.approx((0.0282843, 8.0), rel=1e-5)


def test_a_single_value_has_the_interval_of_its_test_images_alone() -> None:
    found = Estimate(0.5, why=ONE_VALUE, image_variance=0.0001).with_images()
    assert found.interval() == pytest.approx((0.5 - 0.0195996, 0.5 + 0.0195996), rel=1e-5)


def test_an_interval_that_covers_more_is_never_narrower() -> None:
    assert hull((0.1, 0.3), (0.15, 0.28)) == (0.1, 0.3)
    assert hull(None, (0.15, 0.28)) == (0.15, 0.28)


def test_the_order_of_the_values_changes_no_bit() -> None:
    values = table([[0.1, 0.7, None], [0.3, 0.2, 0.9], [0.33, None, 0.8]])
    again = dict(reversed(list(values.items())))
    assert crossed(values) == crossed(again)
