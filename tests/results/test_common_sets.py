"""Means are over the same data sets along a row."""

from hpc_xfer.results.common_sets import common_sets

BOTH = ["clip", "scratch"]


def test_a_mean_is_over_the_sets_that_all_labels_have_at_all_shots() -> None:
    found = {
        "pets": {"1": BOTH, "20": BOTH},
        "dtd": {"1": BOTH, "20": BOTH},
        "clipart": {"1": BOTH},
        "cars": {"1": BOTH, "20": ["clip"]},
    }
    over = common_sets(found, BOTH)
    assert over.datasets == ("pets", "dtd")
    assert over.left_out == "clipart (no 20 shots); cars (incomplete: scratch)"


def test_a_label_that_is_hardly_begun_does_not_empty_the_row_of_the_others() -> None:
    found = {
        "pets": {"1": ["a", "b"]},
        "dtd": {"1": ["a", "b"]},
        "cars": {"1": ["a", "b", "late"]},
    }
    over = common_sets(found, ["a", "b", "late"])
    assert (over.labels, over.datasets) == (("a", "b"), ("pets", "dtd", "cars"))


def test_shots_that_no_two_sets_share_leave_the_row() -> None:
    found = {"pets": {"1": BOTH, "5": BOTH}, "dtd": {"1": BOTH, "10": BOTH}}
    over = common_sets(found, BOTH)
    assert (over.datasets, over.shots) == (("pets", "dtd"), ("1",))


def test_nothing_done_gives_an_empty_row() -> None:
    assert common_sets({"pets": {"1": []}, "dtd": {"1": []}}, BOTH).datasets == ()
