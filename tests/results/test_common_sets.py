"""Means are over the same data sets along a row."""

from hpc_xfer.results.common_sets import common_sets

BOTH = ["clip", "scratch"]


def test_a_mean_is_over_the_sets_that_all_labels_have_at_all_shots() -> None:
    found = {
        "pets": {"1": BOTH, "20": BOTH},
        "dtd": {"1": BOTH, "20": BOTH},
        "birds": {"1": BOTH, "20": BOTH},
        "clipart": {"1": BOTH},
        "cars": {"1": BOTH, "20": ["clip"]},
    }
    over = common_sets(found, BOTH)
    assert over.datasets == ("pets", "dtd", "birds")
    assert over.left_out == "clipart (no 20 shots); cars (incomplete: scratch)"


def test_a_label_that_is_hardly_begun_does_not_empty_the_row_of_the_others() -> None:
    found = {
        "pets": {"1": ["a", "b"]},
        "dtd": {"1": ["a", "b"]},
        "cars": {"1": ["a", "b", "late"]},
    }
    over = common_sets(found, ["a", "b", "late"])
    assert (over.labels, over.datasets) == (("a", "b"), ("pets", "dtd", "cars"))
    assert over.left_out == "late (incomplete)"


def test_two_labels_are_compared_where_both_are_rather_than_one_everywhere() -> None:
    found = {name: {"1": ["a"]} for name in "vwxyz"} | {"pets": {"1": ["a", "b"]}}
    found["dtd"] = {"1": ["a", "b"]}
    over = common_sets(found, ["a", "b"])
    assert (over.labels, over.datasets) == (("a", "b"), ("pets", "dtd"))


def test_shots_of_one_data_set_alone_leave_the_row_and_are_named() -> None:
    found = {
        "cifar100": {"1": BOTH, "5": BOTH, "100": BOTH, "200": BOTH},
        "pets": {"1": BOTH, "5": BOTH},
        "dtd": {"1": BOTH, "5": BOTH},
    }
    over = common_sets(found, BOTH)
    assert (over.datasets, over.shots) == (("cifar100", "pets", "dtd"), ("1", "5"))
    assert over.left_out == "100 shots (1 of 3 data sets); 200 shots (1 of 3 data sets)"


def test_shots_that_some_labels_lack_everywhere_are_incomplete() -> None:
    few = {"1": BOTH, "5": BOTH, "full": BOTH[:1]}
    over = common_sets({"pets": few, "dtd": few}, BOTH)
    assert over.left_out == "full data (incomplete)"


def test_two_data_sets_are_needed_for_a_mean() -> None:
    found = {"pets": {"1": BOTH, "5": BOTH, "20": BOTH}, "dtd": {"1": BOTH, "10": BOTH}}
    over = common_sets(found, BOTH)
    assert (over.datasets, over.shots) == (("pets", "dtd"), ("1",))


def test_nothing_done_gives_an_empty_row() -> None:
    assert common_sets({"pets": {"1": []}, "dtd": {"1": []}}, BOTH).datasets == ()
