import itertools
import math

import numpy as np
import pytest
import scikit_posthocs
import scipy.stats
from statsmodels.stats.libqsturng import qsturng
from statsmodels.stats.multicomp import pairwise_tukeyhsd
from statsmodels.stats.multitest import multipletests

from hpc_xfer.results.estimators.estimate import student, tail
from hpc_xfer.results.estimators.multiplicity import dunnett, holm, tukey

MANY = [(2, 4.0), (3, 1.3), (7, 2.0), (7, 12.0), (7, 3.37), (11, 60.0), (20, 5000.0)]


def samples(labels: int, repetitions: int, seed: int = 3) -> list[np.ndarray]:
    """Accuracies in points: each label half a point above the one before, draws of 1 point."""
    random = np.random.default_rng(seed)
    return [40 + 0.5 * i + random.normal(size=repetitions) for i in range(labels)]


def pooled(groups: list[np.ndarray]) -> tuple[float, float]:
    """Standard error of a difference of two groups, and its degrees of freedom."""
    freedom = sum(len(group) - 1 for group in groups)
    variance = sum(((group - group.mean()) ** 2).sum() for group in groups) / freedom
    return math.sqrt(2 * variance / len(groups[0])), freedom


# Tukey


@pytest.mark.parametrize(
    ("labels", "freedom", "printed"),
    [(3, 10, 3.88), (4, 20, 3.96), (5, 5, 5.67), (7, 12, 4.95), (10, 60, 4.65)],
)
def test_tukey_is_the_studentized_range_of_the_printed_table(
    labels: int, freedom: float, printed: float
) -> None:
    assert tukey(labels, freedom) * math.sqrt(2) == pytest.approx(printed, abs=0.0051)


@pytest.mark.parametrize(("labels", "freedom"), [*MANY, (7, math.inf), (50, 30.0)])
def test_tukey_is_that_of_scipy(labels: int, freedom: float) -> None:
    q = scipy.stats.studentized_range.ppf(0.95, labels, freedom)
    assert tukey(labels, freedom) == pytest.approx(q / math.sqrt(2), rel=1e-7)


def test_tukey_is_that_of_statsmodels_at_99_percent() -> None:
    assert tukey(7, 12.0, 0.99) == pytest.approx(qsturng(0.99, 7, 12) / math.sqrt(2), rel=2e-3)


def test_tukey_of_two_labels_is_student() -> None:
    assert tukey(2, 7.5) == student(7.5)


def test_the_intervals_of_all_pairs_are_those_of_tukey_hsd() -> None:
    groups = samples(labels=5, repetitions=4)
    error, freedom = pooled(groups)
    half = tukey(5, freedom) * error
    by_scipy = scipy.stats.tukey_hsd(*groups).confidence_interval(0.95)
    names = np.repeat(list("abcde"), 4)
    by_statsmodels = pairwise_tukeyhsd(np.concatenate(groups), names).confint
    for row, (i, j) in enumerate(itertools.combinations(range(5), 2)):
        difference = groups[j].mean() - groups[i].mean()
        mine = (difference - half, difference + half)
        assert mine == pytest.approx((by_scipy.low[j, i], by_scipy.high[j, i]), rel=1e-6)
        assert mine == pytest.approx(tuple(by_statsmodels[row]), rel=1e-3)


@pytest.mark.parametrize(("sets", "printed"), [(9, 3.00), (6, 3.68)])
def test_seven_labels_have_the_critical_difference_of_ranks_of_the_printed_table(
    sets: int, printed: float
) -> None:
    critical = tukey(7, math.inf) * math.sqrt(7 * 8 / (6 * sets))
    assert critical == pytest.approx(printed, abs=0.005)


def test_labels_beyond_the_critical_difference_are_those_that_nemenyi_tells_apart() -> None:
    random = np.random.default_rng(5)
    accuracies = random.normal(size=(12, 6)) + 0.8 * np.arange(6)  # data sets x labels
    ranks = np.mean([scipy.stats.rankdata(row) for row in accuracies], axis=0)
    critical = tukey(6, math.inf) * math.sqrt(6 * 7 / (6 * 12))
    apart = abs(ranks[:, None] - ranks) > critical
    ps = np.array(scikit_posthocs.posthoc_nemenyi_friedman(accuracies))
    assert ((ps < 0.05) == apart).all()
    assert 2 * 3 <= apart.sum() <= 2 * 12  # some are, some are not


# Dunnett


@pytest.mark.parametrize(
    ("comparisons", "freedom", "printed"),
    [(2, 5, 3.03), (2, 10, 2.57), (6, 12, 2.98), (9, 20, 2.95), (1, 5, 2.57), (5, math.inf, 2.51)],
)
def test_dunnett_is_that_of_the_printed_table(
    comparisons: int, freedom: float, printed: float
) -> None:
    assert dunnett(comparisons, freedom) == pytest.approx(printed, abs=0.0051)


def test_dunnett_of_two_comparisons_and_four_degrees_of_freedom() -> None:
    assert dunnett(2, 4.0) == pytest.approx(3.31, abs=0.005)


@pytest.mark.parametrize("correlation", [0.1, 0.5, 0.8])
@pytest.mark.parametrize(("comparisons", "freedom"), [(2, 4.0), (6, 12.0), (4, 2.6)])
def test_as_many_are_below_dunnett_as_the_multivariate_t_says(
    comparisons: int, freedom: float, correlation: float
) -> None:
    shape = np.full((comparisons, comparisons), correlation)
    np.fill_diagonal(shape, 1)
    edge = np.full(comparisons, dunnett(comparisons, freedom, correlation=correlation))
    joint = scipy.stats.multivariate_t(shape=shape, df=freedom, seed=1)
    below = joint.cdf(edge, lower_limit=-edge, maxpts=200_000)
    assert below == pytest.approx(0.95, abs=3e-4)


def test_the_comparisons_with_scratch_are_those_of_scipy() -> None:
    scratch, *groups = samples(labels=5, repetitions=4)
    error, freedom = pooled([scratch, *groups])
    random = np.random.default_rng(1)
    found = scipy.stats.dunnett(*groups, control=scratch, random_state=random)
    ends = found.confidence_interval(0.95)
    for i, group in enumerate(groups):
        difference = group.mean() - scratch.mean()
        level = 1 - found.pvalue[i]  # at which the interval ends at 0
        assert dunnett(4, freedom, level) == pytest.approx(abs(difference) / error, rel=2e-3)
        assert difference - dunnett(4, freedom) * error == pytest.approx(ends.low[i], abs=5e-3)


def test_dunnett_of_one_comparison_is_student() -> None:
    assert dunnett(1, 3.7) == student(3.7)


def test_dunnett_is_between_one_comparison_and_bonferroni() -> None:
    for level in (0.5, 0.9, 0.95, 0.999):
        assert student(6.0, level) < dunnett(4, 6.0, level) < student(6.0, 1 - (1 - level) / 4)


def test_critical_values_grow_with_labels_and_shrink_with_degrees_of_freedom() -> None:
    for critical in (tukey, dunnett):
        by_labels = [critical(labels, 8.0) for labels in range(2, 30)]
        by_freedom = [critical(7, freedom) for freedom in (1.2, 2, 3.5, 10, 1e3, 1e6, math.inf)]
        assert by_labels == sorted(by_labels)
        assert by_freedom == sorted(by_freedom, reverse=True)


@pytest.mark.parametrize("freedom", [1e9, 1e11, 1e18, 2.7e25, 1e300, math.inf])
def test_an_error_that_is_known_has_the_critical_values_of_a_normal_one(freedom: float) -> None:
    """Draws that are equal but for rounding have 1e25 degrees of freedom."""
    assert tukey(7, freedom) == pytest.approx(tukey(7, math.inf), abs=1e-7)
    assert dunnett(6, freedom) == pytest.approx(dunnett(6, math.inf), abs=1e-7)
    assert student(freedom) == pytest.approx(1.959963985, abs=1e-7)


# Holm


def test_holm_multiplies_the_smallest_by_all_and_the_next_by_one_less() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_holm_keeps_ties_equal_and_stays_below_one() -> None:
    assert holm([0.2, 0.02, 0.02, 0.9]) == pytest.approx([0.4, 0.08, 0.08, 0.9])
    assert holm([0.6, 0.7]) == [1, 1]


def test_holm_of_one_or_none_changes_nothing() -> None:
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed: int) -> None:
    random = np.random.default_rng(seed)
    ps = random.beta(0.3, 2, size=21).round(3)  # many small ones, with ties
    assert holm(list(ps)) == pytest.approx(list(multipletests(ps, method="holm")[1]))


@pytest.mark.parametrize(("freedom", "needed"), [(2.0, 20.5), (12.0, 3.83)])
def test_one_pair_of_21_needs_a_t_of_20_with_3_draws_and_of_4_with_a_pooled_error(
    freedom: float, needed: float
) -> None:
    def adjusted(t: float) -> float:
        return holm([2 * tail(t, freedom)] + [0.5] * 20)[0]

    assert adjusted(needed + 0.05) < 0.05 < adjusted(needed - 0.05)
