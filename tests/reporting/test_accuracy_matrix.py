from hpc_xfer.reporting.accuracy_matrix import AccuracyMatrix, main_matrices, matrices, percent
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.averages import Average
from tests.reporting.answer_rows import average, gap

THREE = [average("clip", 50.0, 3.2), average("simclr", 48.0, 3.0), average("scratch", 30.0, 3.0)]
PAIRS = [gap("clip", "simclr", 2, -1, 5), gap("clip", "scratch", 20, 15, 25, axis="scratch")]


def matrix(averages: list[Average], gaps: list[Gap] | None = None) -> AccuracyMatrix:
    [found] = main_matrices(averages, gaps or [])
    return found


def signs(found: AccuracyMatrix) -> dict[str, list[str]]:
    return {label: [found.sign(entry) for entry in row] for label, row in found.rows.items()}


def test_an_accuracy_that_is_not_told_apart_from_the_best_has_a_sign() -> None:
    found = matrix(THREE, PAIRS)
    assert signs(found) == {"clip": [""], "simclr": ["≈"], "scratch": [""]}
    assert "≈ not told apart from the highest of its column" in found.caption


def test_a_column_with_a_label_that_is_not_compared_with_the_best_has_no_sign() -> None:
    """Without one, a reader would take the label that lacks a comparison for a worse one."""
    found = matrix(THREE, PAIRS[:1])
    assert signs(found) == {"clip": [""], "simclr": [""], "scratch": [""]}
    assert found.note == ""


def test_a_comparison_without_an_interval_gives_no_sign() -> None:
    unsure = gap("clip", "simclr", 2, None, None)
    assert signs(matrix(THREE, [unsure, PAIRS[1]]))["simclr"] == [""]


def test_the_note_names_the_columns_that_are_compared_where_some_are_not() -> None:
    full = [average(a.label, 90.0, 1.0, "full") for a in THREE]
    assert "highest of its column (compared: 5 shots)" in matrix([*THREE, *full], PAIRS).note


def test_two_repetitions_have_a_mean_and_no_interval() -> None:
    two = average("clip", 50.0, 40.0, why="2 repetitions: no useful interval")
    assert percent(two) == "50.0"
    assert percent(THREE[0]) == "50.0 ±3.2"
    assert percent(average("clip", 50.0, missing=1)) == "50.0*"
    assert percent(None) == "—"


def test_the_caption_counts_the_entries_without_an_interval_by_reason() -> None:
    why = "one draw: no interval"
    found = matrix(
        [
            average("clip", 50.0, why=why),
            average("simclr", 48.0, why=why),
            average("scratch", 30.0, why="2 repetitions: no useful interval"),
        ]
    )
    assert "no interval: 2 repetitions (1 entry), one draw (2 entries)" in found.caption


def test_the_caption_says_what_the_intervals_cover() -> None:
    assert matrix(THREE).coverage == "covers other draws of the images, for this one pre-training"
    seeds = matrix([average("clip", 50.0, 3.0, target="E2")])
    assert seeds.coverage == "covers other seeds of the pre-training and other draws of the images"


def test_intervals_that_cover_different_things_are_told_apart_by_column_or_label() -> None:
    columns = [average("clip", 50.0, 3.0), average("clip", 80.0, 3.0, "full", target="E2")]
    assert matrix(columns).coverage == (
        "covers other draws of the images, for this one pre-training (with 5 shots); covers other "
        "seeds of the pre-training and other draws of the images (with full data)"
    )
    labels = [average("clip", 50.0, 3.0), average("simclr", 80.0, 3.0, target="E2")]
    assert "for this one pre-training (of clip)" in matrix(labels).coverage


def test_a_mean_says_how_many_data_sets_it_is_over_and_which_it_leaves_out() -> None:
    left_out = "clipart (no 10, 20 shots)"
    averages = [
        average("clip", 50.0, 3.0, dataset=name) for name in ("digits", "mnist", "clipart")
    ] + [average("clip", 50.0, 3.0, dataset="mean", datasets=8, left_out=left_out)]
    titles = [found.title for found in matrices(averages)]
    assert titles[0] == "mean of 8 data sets, without clipart (no 10, 20 shots)"
    assert titles[1:] == ["digits", "mnist", "clipart"]


def test_what_was_never_planned_on_a_data_set_has_no_row_and_no_column_there() -> None:
    there = average("clip", 50.0, 3.0)
    elsewhere = [average("released", 60.0, dataset="pets", shots=name) for name in ("5", "full")]
    digits = next(found for found in matrices([there, *elsewhere]) if found.dataset == "digits")
    assert (list(digits.rows), digits.shots) == (["clip"], ("5",))
    assert digits.note == ""


def test_a_label_that_is_not_complete_yet_keeps_its_row_in_the_mean() -> None:
    done = [average("clip", 50.0, 3.0, dataset=name) for name in ("digits", "pets", "mean")]
    begun = [average("late", None, dataset="digits", missing=3)]
    alone = [average("released", 60.0, dataset="pets")]
    found = matrix([*done, *begun, *alone])
    assert list(found.rows) == ["clip", "late"]
    assert found.note == "— not in the mean"


def test_the_signs_of_the_note_are_those_of_the_table() -> None:
    partly = average("clip", 50.0, 3.0, missing=1)
    assert matrix([partly]).note == "* average of fewer cells than planned; see missing.csv"
    note = matrix([partly, average("late", None, missing=3)]).note
    assert "— not complete yet" in note
