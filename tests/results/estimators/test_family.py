"""Differences within a family of labels, and over data sets."""

import random
import statistics

import pytest

from hpc_xfer.results.estimators.crossed import ONE_VALUE, TWO, crossed, two_way
from hpc_xfer.results.estimators.family import Family
from hpc_xfer.results.estimators.multiplicity import tukey
from hpc_xfer.results.estimators.over_sets import OverSets, mean_over_sets, welch
from hpc_xfer.results.estimators.ranges import best_minus_worst, spread, unbiased_range
from tests.results.estimators.test_crossed import half, table


def no_effect(labels: int, draws: int, seed: int, noise: float = 0.03) -> Family:
    """Labels of one seed that differ by luck alone."""
    luck = random.Random(seed)
    return Family.of(
        {str(n): table([[luck.gauss(0.5, noise) for _ in range(draws)]]) for n in range(labels)}
    )


def test_three_seeds_cannot_be_told_from_one_scratch_among_them() -> None:
    seeds = table([[0.30], [0.45], [0.60]])
    found = Family.of({"clip": seeds, "scratch": table([[0.40]])}, draws_matter=False)
    difference = found.difference("clip", "scratch")
    ends = difference.interval()
    assert difference.value == pytest.approx(0.05)
    assert ends is not None and ends[0] < 0 < ends[1]
    assert difference.se == pytest.approx((0.0225 / 3 + 0.0225) ** 0.5)


def test_two_labels_with_the_same_seeds_are_paired_by_seed_and_draw() -> None:
    a = table([[0.50, 0.60, 0.55], [0.53, 0.62, 0.57]])
    b = table([[0.45, 0.56, 0.50], [0.44, 0.55, 0.49]])
    found = Family.of({"a": a, "b": b}).difference("a", "b")
    paired = crossed({key: a[key] - b[key] for key in a})
    assert (found.value, half(found)) == pytest.approx((paired.value, half(paired)))


def test_the_noise_of_one_seed_is_pooled_over_all_labels() -> None:
    """With three draws a pair alone has 2 degrees of freedom, seven labels together have 12."""
    found = no_effect(labels=7, draws=3, seed=1).difference("0", "1")
    assert (found.freedom, found.target) == (12, "E1")


def test_the_luck_of_a_draw_cancels_in_a_difference() -> None:
    draws = [0.1, 0.5, 0.3, 0.7]
    tables = {
        name: table([[d + gain + wobble * (i % 2) for i, d in enumerate(draws)]])
        for name, gain, wobble in (("a", 0.05, 0.01), ("b", 0.0, 0.0), ("c", 0.02, -0.01))
    }
    found = Family.of(tables).difference("a", "b")
    assert found.value == pytest.approx(0.055)
    assert half(found) < 0.02


def test_a_missing_draw_does_not_bias_a_difference() -> None:
    a = table([[0.1, 0.5, 0.9]])
    b = table([[0.0, 0.4, None]])
    c = table([[0.05, 0.46, 0.84]])
    found = Family.of({"a": a, "b": b, "c": c}).difference("a", "b")
    assert found.value == pytest.approx(0.1, abs=0.01)


def test_two_draws_of_two_labels_give_no_interval_but_over_data_sets_they_do() -> None:
    pair = {"a": table([[0.50, 0.58]]), "b": table([[0.45, 0.51]])}
    assert Family.of(pair).difference("a", "b").why == TWO
    found = OverSets.of([pair] * 4).difference("a", "b")
    assert (found.why, found.freedom) == ("", 4)


def test_the_mean_of_two_data_sets_adds_their_variances() -> None:
    sets = [table([[0.50, 0.56, 0.59]]), table([[0.70, 0.71, 0.75]])]
    found = mean_over_sets(sets)
    assert (found.value, half(found)) == pytest.approx((0.635, 0.046938), abs=1e-6)
    assert found == welch([crossed(values) for values in sets])


def test_one_value_on_each_of_several_data_sets_has_an_interval_over_the_sets() -> None:
    """Seven labels on four sets: best minus worst has (7 - 1) (4 - 1) degrees of freedom."""
    luck = random.Random(4)
    sets = [
        {str(n): table([[0.5 + 0.01 * n + luck.gauss(0, 0.02)]]) for n in range(7)}
        for _ in range(4)
    ]
    found = best_minus_worst(OverSets.of(sets))[2]
    assert (found.target, found.freedom) == ("sets", 18)
    values = {(n, str(i)): tables[n]["0", "0"] for i, tables in enumerate(sets) for n in tables}
    blocks = two_way(values)
    assert blocks is not None and found.se is not None
    assert found.se == pytest.approx((2 * blocks.ss_rest / 18 / 4) ** 0.5)
    assert unbiased_range(OverSets.of(sets)) is not None


def test_one_value_on_each_of_two_data_sets_has_no_interval() -> None:
    sets = [{"a": table([[0.5]]), "b": table([[0.4]])} for _ in range(2)]
    assert OverSets.of(sets).difference("a", "b").why == ONE_VALUE


def test_with_seeds_data_sets_are_averaged_within_each_seed_and_draw_first() -> None:
    first = table([[0.1, 0.3], [0.2, 0.4], [0.1, 0.2]])
    second = table([[0.5, 0.7], [0.4, 0.8], [0.6, 0.9]])
    averaged = {key: (first[key] + second[key]) / 2 for key in first}
    found = mean_over_sets([first, second])
    assert (found.value, half(found)) == pytest.approx(
        (crossed(averaged).value, half(crossed(averaged)))
    )


def test_best_minus_worst_chosen_on_other_draws_is_zero_without_an_effect() -> None:
    families = [no_effect(labels=7, draws=3, seed=seed) for seed in range(400)]
    unbiased = [unbiased_range(family) or 0.0 for family in families]
    observed = [best_minus_worst(family)[2].value for family in families]
    assert statistics.fmean(observed) == pytest.approx(0.047, abs=0.003)
    assert statistics.fmean(unbiased) == pytest.approx(0.0, abs=0.004)


def test_the_simultaneous_interval_covers_a_true_range_of_zero() -> None:
    covered = 0
    for seed in range(400):
        found = best_minus_worst(no_effect(labels=7, draws=3, seed=seed))[2]
        ends = found.interval(tukey(7, found.freedom or 0.0))
        covered += ends is not None and ends[0] <= 0 <= ends[1]
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("noise", [0.005, 0.03])
def test_the_spread_between_labels_does_not_depend_on_the_noise(noise: float) -> None:
    """The observed standard deviation of the means does: it is 1.2 and 2.0 points."""
    squares = []
    for seed in range(600):
        luck = random.Random(seed)
        tables = {}
        for name in range(7):
            own = luck.gauss(0.5, 0.0108)
            tables[str(name)] = table([[own + luck.gauss(0, noise) for _ in range(3)]])
        squares.append((spread(Family.of(tables)).sd or 0.0) ** 2)
    # Negative estimates count as 0, so the average is a little too large where noise is large.
    assert statistics.fmean(squares) ** 0.5 == pytest.approx(0.0108, abs=0.0025)


def test_the_interval_of_a_spread_covers_the_true_one() -> None:
    covered = 0
    for seed in range(400):
        luck = random.Random(seed)
        tables = {}
        for name in range(7):
            own = luck.gauss(0.5, 0.02)
            tables[str(name)] = table([[own + luck.gauss(0, 0.02) for _ in range(5)]])
        found = spread(Family.of(tables))
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.02 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_the_test_of_a_spread_is_that_of_one_way_blocks() -> None:
    from scipy.stats import f as f_distribution

    family = no_effect(labels=4, draws=5, seed=3)
    found = spread(family)
    assert family.block is not None
    square = family.block.ss_rest / 12
    ratio = family.block.ss_rows / 3 / square
    assert found.p == pytest.approx(f_distribution.sf(ratio, 3, 12))


def test_seeds_are_not_paired_where_the_cells_of_one_seed_are_never_common() -> None:
    """The second of two seeds was measured on other draws of each label so far."""
    a = table([[0.50, 0.60, 0.55, 0.52], [0.53, 0.62, None, None]])
    b = table([[0.45, 0.56, 0.50, 0.47], [None, None, 0.49, 0.46]])
    found = Family.of({"a": a, "b": b}).difference("a", "b")
    assert (found.target, found.seeds) == ("E2", 2)
    assert found.value == pytest.approx(0.055, abs=0.02)
