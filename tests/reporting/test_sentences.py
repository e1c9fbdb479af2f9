import re
from typing import Any

import pytest

from hpc_xfer.reporting.sentences.questions import Question, sentences
from hpc_xfer.results.answers.rows import Gap, Scaling
from hpc_xfer.results.estimators.estimate import Estimate
from hpc_xfer.results.estimators.family import Family
from tests.reporting.answer_rows import (
    average,
    gap,
    sources,
    spread,
)

SHOTS = ("1", "5", "full")
STUDY = [average("clip laion", 45.0), average("scratch", 40.0)]


def answers(gaps: list[Gap], rows: list[Scaling] | None = None) -> list[str]:
    """All sentences, without their titles."""
    return [line for question in sentences(STUDY, gaps, rows or []) for line in question.lines]


def only(*gaps: Gap) -> str:
    [line] = answers(list(gaps))
    return line


def row_of(found: Estimate, a: str, b: str, **others: Any) -> Gap:
    """A row of gaps.csv from an estimate."""
    low, high = found.interval() or (None, None)
    points = [None if end is None else 100 * end for end in (low, high)]
    return gap(a, b, 100 * found.value, *points, target=found.target, **others)


def test_a_pair_that_is_told_apart_is_said_with_all_that_it_rests_on() -> None:
    assert only(gap("clip laion", "simclr laion", 5.1, 1.2, 9.0, differs="crop, flip")) == (
        "With 5 shots (ft, digits), clip laion beats simclr laion by 5.1 points (95% interval 1.2 "
        "to 9.0; 3 draws, 1 seed; for this one pre-training of each; crop and flip differ too)."
    )


def test_the_lower_one_comes_second() -> None:
    line = only(gap("clip laion", "simclr laion", -5.1, -9.0, -1.2))
    assert "simclr laion beats clip laion by 5.1 points (95% interval 1.2 to 9.0;" in line


def test_an_interval_with_0_in_it_does_not_tell_apart_and_shows_nothing() -> None:
    line = only(gap("clip laion", "simclr laion", 1.2, -3.0, 5.0))
    assert line == (
        "With 5 shots (ft, digits), clip laion and simclr laion cannot be told apart (difference "
        "+1.2 points, 95% interval -3.0 to 5.0; 3 draws, 1 seed; for this one pre-training of "
        "each)."
    )


def test_one_draw_is_refused_with_the_reason() -> None:
    line = only(gap("clip laion", "simclr laion", 3.2, None, None, shots="1", draws=1))
    assert line == (
        "With 1 shot (ft, digits), nothing can be said of clip laion against simclr laion: one "
        "draw, no interval (difference +3.2 points; 1 draw, 1 seed)."
    )


def test_two_repetitions_are_refused_though_they_have_an_interval() -> None:
    why = "2 repetitions: no useful interval"
    line = only(gap("clip laion", "simclr laion", 9.0, 1.0, 17.0, why=why))
    assert "nothing can be said" in line and "2 repetitions, no useful interval" in line
    assert "beats" not in line


def test_three_seeds_of_30_45_60_against_one_scratch_of_40_cannot_be_told_apart() -> None:
    clip = {("0", "0"): 0.30, ("1", "0"): 0.45, ("2", "0"): 0.60}
    family = Family.of({"clip": clip, "scratch": {("0", "0"): 0.40}}, draws_matter=False)
    found = row_of(
        family.difference("clip", "scratch"),
        "clip", "scratch", axis="scratch", shots="full", seeds_a=3, draws=1,
    )  # fmt: skip
    line = only(found)
    assert line.startswith("With full data (ft, digits), clip and training from scratch cannot be")
    assert "difference +5.0 points" in line and "3 seeds against 1" in line
    assert "over seeds of the pre-training" in line


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("ft", "beats training from scratch by"),
        ("lp-ft", "beats training from scratch by"),
        ("lp", "beats a probe of the untrained encoder by"),
        ("knn l2=1", "beats a probe of the untrained encoder by"),
        ("zeroshot", "beats the untrained encoder by"),
    ],
)
def test_scratch_is_named_as_what_it_is_in_a_mode(mode: str, words: str) -> None:
    assert words in only(gap("clip", "scratch", 10, 8, 12, axis="scratch", mode=mode))


def test_all_pre_trainings_are_held_against_scratch_in_one_sentence() -> None:
    common: dict[str, Any] = {"axis": "scratch", "comparisons": 4, "target": "E2", "seeds_a": 3}
    line, *more = answers(
        [
            gap("clip", "scratch", 20, 15, 25, **common),
            gap("simclr", "scratch", 10, 5, 15, **common),
            gap("wit", "scratch", -1, -5, 3, **common),
            gap("scratch", "flickr", 6, 2, 10, **(common | {"seeds_a": 1, "seeds_b": 3})),
        ]
    )
    assert more == []
    assert line == (
        "With 5 shots (ft, digits), 2 of 4 pre-trainings beat training from scratch, most of all "
        "clip by 20.0 points (15.0 to 25.0), least simclr by 10.0 points (5.0 to 15.0); wit (-1.0 "
        "points, -5.0 to 3.0) cannot be told apart from it; it beats flickr by 6.0 points (2.0 to "
        "10.0) (95% intervals for all 4 comparisons at once; 3 draws, 3 seeds against 1; over "
        "seeds of the pre-training)."
    )


def test_draws_seeds_and_missing_cells_that_differ_are_said_as_a_range() -> None:
    line = only(
        gap("clip", "scratch", 20, 15, 25, axis="scratch", draws=2, seeds_a=3, missing=4),
        gap("simclr", "scratch", 10, 5, 15, axis="scratch", draws=5, seeds_a=3, missing=7),
    )
    assert "; 2 to 5 draws, 3 seeds; " in line and line.endswith("; up to 7 cells missing).")


def test_none_of_many_is_not_said_to_be_worse_or_alike() -> None:
    labels = ("clip", "simclr")
    line = only(*(gap(name, "scratch", 2, -1, 5, axis="scratch") for name in labels))
    assert "none of 2 pre-trainings is shown to beat training from scratch" in line


def test_the_source_matters_at_the_shots_where_best_and_worst_are_told_apart() -> None:
    """The numbers of a study with seven sources: nothing is shown at 1 shot."""
    found = [(4.7, 6.7, "1"), (7.4, 7.1, "5"), (8.4, 4.6, "10"), (4.2, 2.2, "full")]
    first, *others = answers([sources(*each) for each in found])
    assert first == (
        "ft, mean of 6 data sets: the source of the data matters with 5 and 10 shots and full "
        "data, where best and worst of 7 are told apart; with 1 shot nothing is shown (for this "
        "one pre-training of each)."
    )
    assert "the 7 sources cannot be told apart (best minus worst 4.7 points" in others[0]
    assert "the best of 7 sources, clip laion 2.7M, beats the worst, clip wit 2.7M" in others[-1]


def test_a_range_comes_with_what_it_is_when_noise_does_not_choose_it() -> None:
    line = only(sources(8.4, 4.6, "10", unbiased=0.069))
    assert "6.9 points where best and worst are chosen on other draws" in line


def test_of_many_sources_both_ends_and_the_spread_are_said_before_any_pair() -> None:
    rows = [sources(9, 3, shots, mode=mode) for mode in ("ft", "lp-ft") for shots in SHOTS]
    rows += [spread(5.0, 3.5, 7.0, shots) for shots in SHOTS]
    rows += [gap("a", "b", 3, 1, 5, axis="source", at="15M samples", shots=name) for name in SHOTS]
    starts = [line.partition("(")[0] for line in answers(rows)][:4]
    assert starts[0].startswith("ft, mean of 6 data sets, clip, RN50")
    assert [start[:14] for start in starts[1:3]] == ["With 1 shot ", "With full data"]
    assert "the spread between 7 sources" in starts[3]


def test_the_role_of_the_source_shrinks_only_if_the_spread_does() -> None:
    clear = [spread(5.0, 3.5, 7.0, "1"), spread(0.6, 0.3, 1.2, "full")]
    unclear = [spread(1.5, 0.0, 4.0, "1"), spread(0.6, 0.3, 1.2, "full")]
    ranges = [sources(9.0, 3.0, "1"), sources(3.0, 2.0, "full")]
    [said] = [line for line in answers([*ranges, *clear]) if "spread" in line]
    assert "5.0 points with 1 shot (95% interval 3.5 to 7.0) and 0.6 points with full data" in said
    assert "; the source of the data matters less with more data (" in said
    [said] = [line for line in answers([*ranges, *unclear]) if "spread" in line]
    assert "cannot be said: the intervals overlap" in said


def test_spreads_over_different_data_sets_are_not_compared() -> None:
    rows = [spread(5.0, 3.5, 7.0, "1"), spread(0.6, 0.3, 1.2, "full", datasets=5)]
    [said] = [line for line in answers([sources(9, 3, "1"), *rows]) if "spread" in line]
    assert "not over the same data sets and levels, so they are not compared" in said


def test_what_else_differs_between_levels_is_said_beside_their_range() -> None:
    pair = gap("a", "b", 3, 1, 5, axis="source", dataset="mean", shots="1", differs="crop")
    first, *_ = answers([sources(9, 3, "1", at=pair.at), pair])
    assert "crop differs too" in first


def test_missing_cells_and_data_sets_left_out_are_counted() -> None:
    line = only(sources(9, 3, "10", datasets=8, left_out="clipart (no 10, 20 shots)", missing=2))
    assert "mean of 8 data sets" in line
    assert "2 cells missing; without clipart (no 10, 20 shots)" in line


def test_a_long_list_of_labels_that_a_data_set_lacks_is_counted() -> None:
    line = only(sources(9, 3, "10", left_out="cassava (incomplete: a, b, c, d)"))
    assert "without cassava (incomplete: 4 labels)" in line


def test_a_claim_that_other_test_images_would_take_back_says_so() -> None:
    row = gap("clip", "simclr", 3, 1, 5, images_low=-0.01, images_high=0.07)
    assert "with other test images too -1.0 to 7.0, which includes 0" in only(row)
    held = gap("clip", "simclr", 3, 1, 5, images_low=0.005, images_high=0.055)
    assert "test images" not in only(held)


def test_one_value_has_the_interval_of_the_images_named_as_such() -> None:
    row = gap(
        "clip", "simclr", 3, None, None, why="one value", images_low=0.01, images_high=0.05,
        shots="full", draws=1,
    )  # fmt: skip
    line = only(row)
    assert "one value (difference +3.0 points; over test images alone 95% interval 1.0" in line


def test_an_end_of_an_interval_is_not_rounded_to_0() -> None:
    assert "95% interval 0.03 to 15.6;" in only(gap("clip", "simclr", 7.8, 0.033, 15.6))


def test_choice_on_the_test_set_is_said_in_each_sentence() -> None:
    line = only(gap("clip", "simclr", 3, 1, 5, mode="ft (paper protocol: chosen on test)"))
    assert line.startswith("With 5 shots (ft, digits), clip beats") and "; chosen on test)" in line
    assert only(gap("clip", "simclr", 3, 1, 5, mode="ft (selected on test)")) == line


def test_the_mean_of_data_sets_speaks_where_there_is_one() -> None:
    rows = [gap("clip", "simclr", 3, 1, 5, dataset=name) for name in ("digits", "mnist", "mean")]
    line, more = answers(rows)
    assert "(ft, mean of data sets)" in line
    assert more == "2 more comparisons in gaps.csv."


def test_a_question_has_few_lines_and_every_mode_has_one() -> None:
    shots = ("1", "5", "10", "20", "full")
    rows = [
        gap("clip", "simclr", 3, 1, 5, mode=mode, shots=name)
        for mode in ("ft", "lp", "knn")
        for name in shots
    ]
    lines = answers(rows)
    assert len(lines) == 7 and lines[-1] == "9 more comparisons in gaps.csv."
    assert all(any(f"({mode}," in line for line in lines) for mode in ("ft", "lp", "knn"))


def test_groups_of_an_axis_are_told_apart_by_what_they_share() -> None:
    rows = [gap("a", "b", 3, 1, 5, at=at) for at in ("laion, RN50", "wit, RN50")]
    assert [line[:32] for line in answers(rows)] == [
        "With 5 shots (ft, digits, laion,",
        "With 5 shots (ft, digits, wit, R",
    ]


def test_questions_come_in_the_order_of_source_size_curation_method_and_scratch() -> None:
    axes = ("scratch", "crop", "arch", "method", "curation", "samples", "source")
    found = sentences(STUDY, [gap("a", "b", 3, 1, 5, axis=axis) for axis in axes], [])
    words = ("source", "samples", "curation", "method", "architecture", "crop", "pre-training")
    assert [word in question.title for question, word in zip(found, words, strict=True)] == [
        True
    ] * 7


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((), "No cell is complete yet"),
        (("clip",), "clip is the only encoder with results"),
        (("clip", "simclr"), "no two of the 2 encoders with results share all settings but one"),
    ],
)
def test_a_study_with_nothing_to_compare_says_so(labels: tuple[str, ...], words: str) -> None:
    [question] = sentences([average(name, 40.0) for name in labels], [], [])
    [line] = question.lines
    assert words in line


def test_no_sentence_claims_that_two_are_alike() -> None:
    lows = (None, -3.0, 1.0)
    rows = [
        gap("a", "b", 2, low, None if low is None else 5, axis=axis, verdict=verdict, mode=mode)
        for axis in ("source", "method", "scratch")
        for mode in ("ft", "lp")
        for low, verdict in zip(lows, ("", "equal", "a"), strict=True)
    ]
    rows += [sources(3, 5, "1"), sources(3, None, "5"), spread(0.0, None, None, "1", p=0.4)]
    said = " ".join(answers(rows))
    assert not re.search(r"no difference|equal|the same|alike|identical|do not differ", said)


def test_each_answer_is_a_title_and_lines() -> None:
    [question] = sentences(STUDY, [gap("a", "b", 3, 1, 5)], [])
    assert isinstance(question, Question)
    assert question.title == "Does the method of pre-training matter?"
    assert len(question.lines) == 1
