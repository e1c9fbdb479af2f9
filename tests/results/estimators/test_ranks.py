"""Ranks: Friedman's test as scipy has it, and the pairs that Nemenyi's test tells apart."""

import numpy
import pytest
import scipy.stats
from scikit_posthocs import posthoc_nemenyi_friedman

from hpc_xfer.results.estimators.ranks import critical_difference, ranking

# Accuracies of seven encoders on six data sets, made up; b and c tie on the first.
TABLE = {
    "a": [0.91, 0.62, 0.45, 0.88, 0.71, 0.53],
    "b": [0.90, 0.60, 0.47, 0.87, 0.70, 0.52],
    "c": [0.90, 0.55, 0.40, 0.83, 0.66, 0.50],
    "d": [0.85, 0.57, 0.41, 0.85, 0.65, 0.51],
    "e": [0.80, 0.52, 0.39, 0.80, 0.69, 0.44],
    "f": [0.79, 0.50, 0.36, 0.81, 0.60, 0.43],
    "g": [0.70, 0.41, 0.30, 0.70, 0.55, 0.40],
}


def test_the_highest_value_has_rank_1_and_equal_ones_share_theirs() -> None:
    found = ranking({"a": [0.9, 0.5], "b": [0.9, 0.6], "c": [0.1, 0.7]})
    assert found.ranks == {"a": 2.25, "b": 1.75, "c": 2.0}
    assert found.datasets == 2


def test_friedman_is_that_of_scipy_with_ties() -> None:
    expected = scipy.stats.friedmanchisquare(*TABLE.values())
    found = ranking(TABLE)
    assert found.chi_square == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_friedman_is_that_of_scipy_for_values_by_chance(seed: int) -> None:
    values = numpy.random.default_rng(seed).integers(0, 6, size=(5, 8)) / 10  # many ties
    found = ranking({str(n): row for n, row in enumerate(values.tolist())})
    expected = scipy.stats.friedmanchisquare(*values)
    assert (found.chi_square, found.p) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(("labels", "sets", "expected"), [(7, 9, 3.00), (7, 6, 3.68)])
def test_the_critical_difference_is_that_of_the_printed_table(
    labels: int, sets: int, expected: float
) -> None:
    assert critical_difference(labels, sets) == pytest.approx(expected, abs=0.005)


def test_the_same_pairs_are_told_apart_as_by_scikit_posthocs() -> None:
    p = posthoc_nemenyi_friedman(numpy.array(list(TABLE.values())).T).to_numpy()
    names, found = list(TABLE), ranking(TABLE)
    for row, label in zip(p, names, strict=True):
        alike = [name for name, value in zip(names, row, strict=True) if value >= 0.05]
        assert found.not_told_apart(label) == [name for name in alike if name != label]
    assert "g" not in found.not_told_apart("a")


def test_two_labels_or_two_sets_have_ranks_and_no_test() -> None:
    two_labels = ranking({name: TABLE[name] for name in "ag"})
    two_sets = ranking({name: values[:2] for name, values in TABLE.items()})
    assert two_labels.ranks == {"a": 1.0, "g": 2.0}
    for found in (two_labels, two_sets):
        assert (found.chi_square, found.p, found.critical_difference) == (None, None, None)
        assert found.not_told_apart("a") == []


def test_equal_values_everywhere_show_no_difference() -> None:
    found = ranking({label: [0.5, 0.6, 0.7] for label in "abc"})
    assert set(found.ranks.values()) == {2.0}
    assert (found.chi_square, found.p) == (0, 1)


def test_sums_in_another_order_are_a_tie() -> None:
    assert ranking({"a": [0.1 + 0.2, 0.2], "b": [0.3, 0.1]}).ranks == {"a": 1.25, "b": 1.75}


@pytest.mark.parametrize("table", [{}, {"a": []}, {"a": [0.1], "b": [0.1, 0.2]}])
def test_ranks_of_unequal_numbers_of_sets_are_refused(table: dict) -> None:
    with pytest.raises(ValueError, match="one value per label and data set"):
        ranking(table)
