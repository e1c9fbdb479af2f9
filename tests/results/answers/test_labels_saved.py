"""Planted curves: scratch gains 10 points per ten times more shots, so what it needs is known."""

import math
from dataclasses import replace

import pytest

from hpc_xfer.results.answers.labels_saved import labels_saved_rows
from hpc_xfer.results.answers.rows import Scaling
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.intervals import Interval

SCRATCH = EncoderInfo("scratch", "scratch", "RN50", "", None, None, None)
CLIP = EncoderInfo("clip laion 1M", "clip", "RN50", "laion", 1_000_000, None, None)
SHOTS = ("1", "10", "100")


def measured(
    of: EncoderInfo, shots: str, mean: float, half: float | None = 0.0, mode: str = "ft"
) -> Average:
    low, high = (None, None) if half is None else (mean - half, mean + half)
    found = Interval(mean, 3, None, low, high)
    return Average(of, "pets", shots, mode, found, "draws", 0, target="E1")


def curve(of: EncoderInfo, first: float, mode: str = "ft") -> list[Average]:
    """An encoder at 1, 10 and 100 shots, 10 points more at each."""
    return [measured(of, shots, first + 0.1 * i, mode=mode) for i, shots in enumerate(SHOTS)]


def by_shots(rows: list[Scaling], series: str = "scratch") -> dict[str, Scaling]:
    return {row.shots: row for row in rows if row.series == series}


def test_the_shots_that_scratch_needs_are_given_back() -> None:
    # 5 points ahead is half a decade of shots.
    rows = by_shots(labels_saved_rows([*curve(SCRATCH, 0.20), *curve(CLIP, 0.25)]))
    assert rows["1"].value == pytest.approx(10**0.5)
    assert rows["10"].value == pytest.approx(10**1.5)
    assert (rows["10"].kind, rows["10"].reference) == ("labels", "clip laion 1M")
    assert (rows["10"].sizes, rows["10"].smallest, rows["10"].largest) == (3, 1, 100)
    assert (rows["10"].censored, rows["10"].target) == ("", "E1")
    assert rows["10"].text == (
        "training from scratch needs 32 shots (32 to 32 shots)"
        " to reach what clip laion 1M has with 10 shots"
    )


def test_the_interval_has_the_errors_of_both() -> None:
    scratch = [measured(SCRATCH, n, 0.2 + 0.1 * i, half=0.04) for i, n in enumerate(SHOTS)]
    (row,) = labels_saved_rows([measured(CLIP, "1", 0.34, half=0.03), *scratch])
    assert row.value == pytest.approx(10**1.4)
    assert row.ci95_low == pytest.approx(10**0.9)  # 5 points are half a decade
    assert row.ci95_high == pytest.approx(10**1.9)
    (row,) = labels_saved_rows([measured(CLIP, "1", 0.37, half=0.03), *scratch])
    assert row.ci95_low == pytest.approx(10**1.2)
    assert row.ci95_high is None  # beyond 100 shots
    assert row.text == (
        "training from scratch needs 50 shots (at least 16 shots)"
        " to reach what clip laion 1M has with 1 shot"
    )


def test_what_scratch_never_reaches_is_more_than_its_most_shots() -> None:
    row = by_shots(labels_saved_rows([*curve(SCRATCH, 0.20), *curve(CLIP, 0.25)]))["100"]
    assert (row.value, row.ci95_low, row.ci95_high, row.censored) == (None, 100, None, "above")
    assert row.text == (
        "training from scratch needs more than 100 shots (at least 100 shots)"
        " to reach what clip laion 1M has with 100 shots"
    )


def test_what_scratch_has_with_its_fewest_shots_is_said_so() -> None:
    row = by_shots(labels_saved_rows([*curve(SCRATCH, 0.20), *curve(CLIP, 0.15)]))["1"]
    assert (row.value, row.ci95_high, row.censored) == (None, 1, "below")
    assert row.text == (
        "training from scratch needs no more than 1 shot (at most 1 shot)"
        " to reach what clip laion 1M has with 1 shot"
    )


def test_under_a_probe_scratch_is_the_untrained_encoder() -> None:
    for mode in ("lp", "knn"):
        averages = [*curve(SCRATCH, 0.20, mode), *curve(CLIP, 0.25, mode)]
        text = by_shots(labels_saved_rows(averages))["1"].text
        assert text.startswith("a probe of the untrained encoder needs 3.2 shots")


def with_full(scratch_at_full: float, clip_at_10: float) -> list[Average]:
    return [
        *curve(SCRATCH, 0.20)[:2],
        measured(SCRATCH, "full", scratch_at_full),
        measured(CLIP, "10", clip_at_10),
    ]


def test_full_data_is_a_place_where_its_images_per_class_are_known() -> None:
    (row,) = labels_saved_rows(with_full(0.50, 0.40), per_class={"pets": 1000})
    assert row.value == pytest.approx(100)  # half-way from 10 to 1,000 on the scale of powers
    assert row.largest == 1000


def test_else_the_shots_are_between_the_most_and_full_data() -> None:
    (row,) = labels_saved_rows(with_full(0.50, 0.40))
    assert (row.value, row.ci95_low, row.ci95_high, row.censored) == (None, 10, None, "above")
    assert row.text == (
        "training from scratch needs between 10 shots and full data (10 to full data)"
        " to reach what clip laion 1M has with 10 shots"
    )


def test_what_full_data_does_not_reach_is_more_than_full_data() -> None:
    (row,) = labels_saved_rows(with_full(0.35, 0.40))
    assert (row.value, row.ci95_low, row.censored) == (None, 10, "above")
    assert row.text == (
        "training from scratch does not reach what clip laion 1M has with 10 shots,"
        " not even with full data"
    )


def test_without_intervals_there_is_a_value_and_a_reason() -> None:
    clip = measured(CLIP, "1", 0.25, half=None)
    (row,) = labels_saved_rows([*curve(SCRATCH, 0.20), clip])
    assert row.value == pytest.approx(10**0.5)
    assert (row.ci95_low, row.ci95_high, row.target) == (None, None, "")
    assert row.why == "clip laion 1M has no interval at 1 shot"


def test_nothing_is_said_where_the_interval_covers_all_that_was_measured() -> None:
    (row,) = labels_saved_rows([measured(SCRATCH, "1", 0.2, 0.3), measured(CLIP, "1", 0.25, 0.3)])
    assert row.text == (
        "it cannot be said how many shots training from scratch needs to reach what"
        " clip laion 1M has with 1 shot: the interval is wider than what was measured"
    )


def test_scratch_of_another_architecture_is_named_as_such() -> None:
    clip = replace(CLIP, arch="ViT-B/32")
    (row,) = labels_saved_rows([*curve(SCRATCH, 0.20), measured(clip, "1", 0.25)])
    assert row.why == "the architectures differ"


def other(label: str, **change: object) -> EncoderInfo:
    return replace(CLIP, label=label, **change)  # type: ignore[arg-type]  # any field


def test_rivals_are_the_largest_of_each_series_that_differs_in_one_axis() -> None:
    encoders = [
        CLIP,
        other("clip laion 9M", samples=9_000_000),
        other("clip yfcc 1M", source="yfcc"),
        other("clip yfcc 9M", source="yfcc", samples=9_000_000),
        other("simclr laion 1M", method="simclr"),
        other("supervised imagenet 1M", method="supervised", source="imagenet"),
        SCRATCH,
    ]
    rows = labels_saved_rows([measured(e, "1", 0.3) for e in encoders])
    against = [row.series for row in rows if row.reference == CLIP.label]
    assert against == ["scratch", "clip yfcc 9M", "simclr laion 1M"]


def test_scratch_is_of_the_same_architecture_where_there_is_one() -> None:
    vit = replace(SCRATCH, label="scratch ViT", arch="ViT-B-32")
    rows = labels_saved_rows([measured(e, "1", 0.3) for e in (vit, SCRATCH, CLIP)])
    assert [row.series for row in rows] == ["scratch"]


def test_zero_shot_has_no_place_among_the_shots() -> None:
    assert labels_saved_rows([measured(e, "0", 0.3) for e in (SCRATCH, CLIP)]) == []


def test_the_slope_between_shots_is_in_powers_of_ten() -> None:
    scratch = [measured(SCRATCH, "1", 0.2), measured(SCRATCH, "100", 0.4)]
    (row,) = labels_saved_rows([*scratch, measured(CLIP, "1", 0.3)])
    assert row.value is not None and math.isclose(row.value, 10)
