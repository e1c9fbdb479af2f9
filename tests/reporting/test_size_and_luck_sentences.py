"""Sentences on size, labels saved, ranks and luck."""

from typing import Any

from hpc_xfer.reporting.sentences.questions import sentences
from hpc_xfer.results.answers.scaling import OPEN
from tests.reporting.answer_rows import average, gap, rank, scaling, variance
from tests.reporting.test_sentences import STUDY, answers


def test_ten_times_more_samples_add_points() -> None:
    row = scaling("slope", "clip laion", value=0.032, ci95_low=0.011, ci95_high=0.053,
                  fit=0.97, target="E1")  # fmt: skip
    assert answers([], [row]) == [
        "With 5 shots (ft, digits), ten times more samples of clip laion add 3.2 points (95% "
        "interval 1.1 to 5.3; 5 sizes from 1M to 15M samples; R² 0.97; for this one pre-training "
        "of each)."
    ]


def test_a_slope_whose_interval_includes_0_is_not_shown_to_help() -> None:
    row = scaling("slope", "clip laion", value=0.01, ci95_low=-0.01, ci95_high=0.03)
    [line] = answers([], [row])
    assert "ten times more samples of clip laion are not shown to help (difference +1.0" in line


def test_two_sizes_without_an_interval_leave_the_word_to_their_pair() -> None:
    slope = scaling("slope", "clip", value=0.01, sizes=2, why="2 sizes: no interval")
    assert (
        "nothing can be said of ten times more samples of clip: 2 sizes" in answers([], [slope])[0]
    )
    pair = gap("clip 15M", "clip 1M", 3, 1, 5, axis="samples")
    assert "clip 15M beats clip 1M by 3.0 points" in answers([pair], [slope])[0]


def test_a_crossing_beyond_the_largest_size_is_told_first() -> None:
    enough = scaling("crossing", "clip laion", "clip yfcc 1M", censored="below", text="enough")
    more = scaling("crossing", "clip laion", "supervised", censored="above",
                   text="clip laion takes more than 12 times as many samples")  # fmt: skip
    first, second = answers([], [enough, more])
    assert "(ft, digits), clip laion takes more than 12 times as many samples (5 sizes" in first
    assert "enough" in second


def test_a_crossing_of_which_nothing_is_known_is_left_to_the_table() -> None:
    wide = scaling("crossing", "clip", "a", value=2.0, shots="1", text=f"2 times ({OPEN})")
    known = scaling("crossing", "clip", "a", value=2.0, ci95_low=1.5, text="2 times (at least 1.5)")
    assert ["at least 1.5" in line for line in answers([], [wide, known])[:-1]] == [True]
    assert OPEN in answers([], [wide])[0]


def test_labels_saved_against_scratch_are_said_under_its_question() -> None:
    rows = [
        scaling("labels", "clip laion", "scratch", text="clip laion needs 4 shots"),
        scaling("labels", "clip laion", "clip yfcc", text="clip laion needs 3 shots"),
    ]
    against, other = sentences(STUDY, [], rows)
    assert against.title == "Does pre-training help at all, and how many labels does it save?"
    assert against.lines == ("ft, digits: clip laion needs 4 shots.",)
    assert other.lines == ("ft, digits: clip laion needs 3 shots.",)


def test_labels_saved_say_nothing_that_a_difference_says_already() -> None:
    common: dict[str, Any] = {"sizes": 3, "smallest": 1, "largest": 20}
    trivial = scaling("labels", "b", "a", censored="below", shots="1", text="TRIVIAL", **common)
    late = scaling("labels", "b", "a", censored="above", shots="full", text="TRIVIAL", **common)
    single = scaling("labels", "b", "a", value=5.0, text="TRIVIAL", sizes=1)
    vague = scaling("labels", "b", "a", value=2.0, text="vague", **common)
    sure = scaling("labels", "c", "a", value=2.0, ci95_low=1.5, text="sure", **common)
    lines = answers([], [trivial, late, single, vague, sure])
    assert [line.split()[2] for line in lines[:2]] == ["sure", "vague."]
    assert not any("TRIVIAL" in line for line in lines)


def test_ranks_name_the_first_and_those_not_told_apart_from_it() -> None:
    rows = [rank("A", 1.7, not_told_apart="B; C"), rank("B", 2.2), rank("C", 3.0)]
    [question] = sentences(STUDY, [], [], rows)
    assert question.lines == (
        "With 10 shots (ft, ranks over 9 data sets), A is first of 7 with rank 1.7, not told apart "
        "from B and C (Friedman p = 0.017; critical difference 3.0).",
    )


def test_a_first_rank_that_no_other_is_told_apart_from_says_so() -> None:
    rows = [rank("A", 1.7, labels=3, not_told_apart="B; C", friedman_p=0.0), rank("B", 2.2)]
    [question] = sentences(STUDY, [], [], rows)
    assert "rank 1.7, not told apart from any other (Friedman p < 0.001;" in question.lines[0]


def test_ranks_that_chance_can_make_have_no_first() -> None:
    [question] = sentences(STUDY, [], [], [rank("A", 1.7, friedman_p=0.24), rank("B", 2.2)])
    assert "the 7 labels cannot be told apart (Friedman p = 0.24)" in question.lines[0]


def test_a_study_with_nothing_to_compare_says_so_before_it_speaks_of_luck() -> None:
    first, second = sentences([average("clip", 40.0)], [], [], (), [variance("draw", 3.0)])
    assert "clip is the only encoder with results" in first.lines[0]
    assert "luck" in second.title


def test_luck_is_said_with_what_more_of_it_would_bring() -> None:
    rows = [variance("draw", 3.0), variance("seed", 1.0, text="one more seed takes off 0.8 points")]
    [_, question] = sentences(STUDY, [], [], (), rows)
    assert question.lines == (
        "With 5 shots (ft, digits), luck moves an accuracy by (standard deviation in points): draw "
        "of the images 3.0, seed of the pre-training 1.0; one more seed takes off 0.8 points.",
    )


def test_where_only_the_test_images_are_known_the_luck_of_draws_is_refused_once() -> None:
    rows = [
        variance(component, sd, dataset=name, why="" if sd else "one draw")
        for name in ("digits", "mnist")
        for component, sd in (("draw", None), ("image", 0.8))
    ]
    [_, question] = sentences(STUDY, [], [], (), rows)
    assert question.lines == (
        "With 5 shots (ft, digits), nothing can be said of the luck of draws and seeds (one draw).",
        "2 more rows in variance.csv.",
    )
