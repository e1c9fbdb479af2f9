"""ranks.csv: encoders ranked on the data sets that all of them have."""

import math
from dataclasses import replace

import pytest

from hpc_xfer.results.answers.ranks import rank_rows
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.intervals import Interval

SETS = ("cars", "dtd", "pets")
TABLE = {"clip": (0.5, 0.6, 0.7), "simclr": (0.4, 0.5, 0.6), "scratch": (0.1, 0.2, 0.3)}


def average(label: str, dataset: str, mean: float | None) -> Average:
    return Average(
        encoder=EncoderInfo(label, "clip", "RN50", "web", 8000, 8000, None),
        dataset=dataset,
        shots="5",
        mode="lp",
        interval=None if mean is None else Interval(mean, 3, None, None, None),
        over="draws",
        missing=0 if mean is not None else 3,
    )


def averages() -> list[Average]:
    return [
        average(label, dataset, mean)
        for label, means in TABLE.items()
        for dataset, mean in zip(SETS, means, strict=True)
    ]


def test_the_best_in_every_set_has_rank_1() -> None:
    found = rank_rows(averages())
    assert {row.label: row.rank for row in found} == {"clip": 1, "simclr": 2, "scratch": 3}
    assert {(row.mode, row.shots, row.datasets, row.labels) for row in found} == {("lp", "5", 3, 3)}
    for row in found:
        assert row.friedman_p == pytest.approx(math.exp(-3))  # chi-square 6 with 2 freedom
        assert row.critical_difference == pytest.approx(1.914, abs=1e-3)


def test_labels_within_the_critical_difference_are_not_told_apart() -> None:
    assert {row.label: row.not_told_apart for row in rank_rows(averages())} == {
        "clip": "simclr",
        "simclr": "clip; scratch",
        "scratch": "simclr",
    }


def test_modes_and_shots_are_ranked_apart() -> None:
    other = [replace(each, shots="20") for each in averages()]
    found = rank_rows([*averages(), *other, *(replace(each, mode="ft") for each in other)])
    assert [(row.mode, row.shots) for row in found[::3]] == [
        ("lp", "5"),
        ("lp", "20"),
        ("ft", "20"),
    ]


def test_the_mean_over_sets_and_snapshots_take_no_part() -> None:
    mean = [average(label, MEAN, 0.5) for label in TABLE]
    clip = averages()[0].encoder
    early = [
        replace(each, encoder=replace(clip, label="clip at 1k", snapshot=1000))
        for each in averages()
    ]
    assert rank_rows([*averages(), *mean, *early]) == rank_rows(averages())


def test_a_set_that_a_label_lacks_is_left_out_and_named() -> None:
    some = [*averages(), average("clip", "food", 0.9), average("simclr", "food", 0.8)]
    found = rank_rows(some)
    assert {row.datasets for row in found} == {3}
    assert {row.left_out for row in found} == {"food (not planned for scratch)"}


def test_a_set_with_missing_cells_is_left_out_and_named() -> None:
    some = [*averages(), *(average(label, "food", 0.9) for label in TABLE)]
    gaps = [replace(each, missing=1) if each.dataset == "food" else each for each in some]
    assert {row.left_out for row in rank_rows(gaps)} == {
        "food (cells missing of 3 labels, clip first)"
    }


def test_a_label_without_a_result_does_not_hold_up_the_others() -> None:
    absent = [average("moco", dataset, None) for dataset in SETS]
    found = rank_rows([*averages(), *absent])
    assert [row.label for row in found] == list(TABLE)
    assert {row.left_out for row in found} == {"moco (no whole data set)"}


def test_a_label_with_one_of_the_sets_does_not_cost_the_others_theirs() -> None:
    found = rank_rows([*averages(), average("released", "cars", 0.9)])
    assert [row.label for row in found] == list(TABLE)
    assert {row.datasets for row in found} == {3}
    assert {row.left_out for row in found} == {"released (1 of 3 data sets)"}


def test_two_sets_or_two_labels_have_ranks_without_a_test() -> None:
    two_sets = rank_rows([each for each in averages() if each.dataset != "pets"])
    two_labels = rank_rows([each for each in averages() if each.label != "scratch"])
    assert [row.rank for row in two_sets] == [1, 2, 3]
    assert [row.rank for row in two_labels] == [1, 2]
    for row in (*two_sets, *two_labels):
        assert (row.friedman_p, row.critical_difference, row.not_told_apart) == (None, None, "")


def test_one_set_or_one_label_has_no_ranks() -> None:
    assert rank_rows([each for each in averages() if each.dataset == "cars"]) == []
    assert rank_rows([each for each in averages() if each.label == "clip"]) == []
    assert rank_rows([]) == []
