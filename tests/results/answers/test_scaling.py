"""Planted effects: accuracy is exactly a + b log10(samples), so every crossing is known."""

import math
from dataclasses import replace

import pytest

from hpc_xfer.results.answers.rows import Scaling, as_row
from hpc_xfer.results.answers.scaling import scaling_rows
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.estimators.estimate import Target
from hpc_xfer.results.intervals import Interval
from hpc_xfer.results.tables import csv_files

SIZES = {1_000_000: "1M", 3_000_000: "3M", 10_000_000: "10M"}


def encoder(label: str, source: str, samples: int | None, method: str = "clip") -> EncoderInfo:
    return EncoderInfo(label, method, "RN50", source, samples, None, None)


def measured(
    of: EncoderInfo, mean: float, half: float | None = 0.01, target: Target = "E2"
) -> Average:
    low, high = (None, None) if half is None else (mean - half, mean + half)
    found = Interval(mean, 3, None, low, high)
    return Average(of, "pets", "5", "ft", found, "draws", 0, target=target if half else "")


def grown(source: str, at_1m: float, slope: float) -> list[Average]:
    """A source at three sizes, exactly on a line."""
    return [
        measured(encoder(f"clip {source} {name}", source, n), at_1m + slope * math.log10(n / 1e6))
        for n, name in SIZES.items()
    ]


LAION = grown("laion", 0.40, 0.10)  # 0.40, 0.448, 0.50
YFCC = grown("yfcc", 0.30, 0.20)  # 0.30, 0.395, 0.50
IMAGENET = encoder("supervised imagenet 1M", "imagenet", 1_000_000, "supervised")


def told(row: Scaling, *names: str) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in names)


def crossing_of(rows: list[Scaling], series: str, reference: str) -> Scaling:
    (found,) = [
        r for r in rows if (r.kind, r.series, r.reference) == ("crossing", series, reference)
    ]
    return found


def test_each_source_has_its_planted_slope() -> None:
    slopes = [row for row in scaling_rows([*LAION, *YFCC]) if row.kind == "slope"]
    assert [row.series for row in slopes] == ["clip laion", "clip yfcc"]
    assert [row.value for row in slopes] == pytest.approx([0.10, 0.20])
    assert [row.ci95_low for row in slopes] == pytest.approx([0.10, 0.20])
    assert (slopes[0].sizes, slopes[0].smallest, slopes[0].largest) == (3, 1_000_000, 10_000_000)
    assert told(slopes[0], "fit", "freedom", "target") == (pytest.approx(1), 1, "E2")
    assert slopes[0].text == ("ten times more samples of clip laion add 10.0 points (10.0 to 10.0)")


def test_a_planted_crossing_is_given_back() -> None:
    reference = measured(IMAGENET, 0.45)  # laion has it at 10^6.5, 3.16 times a million
    row = crossing_of(scaling_rows([*LAION, reference]), "clip laion", IMAGENET.label)
    assert row.value == pytest.approx(10**0.5)
    assert row.ci95_low == pytest.approx(10**0.4)  # 0.01 is a tenth of a decade
    assert row.ci95_high == pytest.approx(10**0.6)
    assert (row.base, row.censored, row.target) == (1_000_000, "", "E2")
    assert row.text == (
        "clip laion takes 3.2 times (2.5 to 4.0) as many samples as supervised imagenet 1M"
        " to reach its accuracy"
    )


def test_a_series_is_held_against_each_size_of_another() -> None:
    rows = scaling_rows([*LAION, *YFCC])
    small = crossing_of(rows, "clip laion", "clip yfcc 1M")
    assert told(small, "censored", "ci95_high") == ("below", pytest.approx(1))
    assert small.text == (
        "the smallest size of clip laion, 1M, is enough to reach the accuracy of clip yfcc 1M"
        " (at most 1 times as many samples as clip yfcc 1M)"
    )
    back = crossing_of(rows, "clip yfcc", "clip laion 1M")
    assert back.value == pytest.approx(10**0.5)
    assert not [row for row in rows if row.kind == "crossing" and row.reference in row.series]


def test_what_the_largest_size_does_not_reach_is_censored_never_extrapolated() -> None:
    reference = measured(IMAGENET, 0.55)
    row = crossing_of(scaling_rows([*LAION, reference]), "clip laion", IMAGENET.label)
    assert (row.value, row.ci95_high, row.censored) == (None, None, "above")
    assert row.ci95_low == pytest.approx(10)
    assert row.text == (
        "clip laion takes more than 10 times as many samples as"
        " supervised imagenet 1M to reach its accuracy"
    )


def test_a_released_encoder_of_unknown_size_is_a_multiple_of_the_smallest() -> None:
    released = measured(encoder("released openai", "", None, "released"), 0.45)
    row = crossing_of(scaling_rows([*LAION, released]), "clip laion", "released openai")
    assert told(row, "base", "value") == (1_000_000, pytest.approx(10**0.5))
    assert row.text == (
        "clip laion takes 3.2 times (2.5 to 4.0) its smallest size, 1M,"
        " to reach the accuracy of released openai"
    )


def test_two_sizes_have_values_without_intervals() -> None:
    rows = scaling_rows([*LAION[1:], measured(IMAGENET, 0.45)])
    slope, crossing = rows
    assert told(slope, "value", "ci95_low") == (pytest.approx(0.10), None)
    assert slope.text == (
        "ten times more samples of clip laion add 10.0 points (two sizes: no interval)"
    )
    assert told(crossing, "value", "ci95_low") == (pytest.approx(10**0.5), None)
    assert (crossing.why, crossing.target) == ("two sizes: no interval", "")


def test_one_size_says_nothing_of_size() -> None:
    assert scaling_rows([LAION[0], YFCC[0]]) == []


def test_scratch_is_no_reference_of_a_size() -> None:
    scratch = measured(encoder("scratch", "", None, "scratch"), 0.45)
    assert [row.kind for row in scaling_rows([*LAION, scratch])] == ["slope"]


def test_a_reference_without_interval_is_exact_and_the_row_says_so() -> None:
    reference = measured(IMAGENET, 0.45, half=None)
    row = crossing_of(scaling_rows([*LAION, reference]), "clip laion", IMAGENET.label)
    assert [row.ci95_low, row.ci95_high] == pytest.approx([row.value, row.value])
    assert row.why == "supervised imagenet 1M has no interval and is taken as exact"
    assert row.target == "E1"


def test_the_interval_covers_no_more_than_the_weakest_average() -> None:
    weak = measured(IMAGENET, 0.45, target="E1")
    rows = scaling_rows([*LAION, weak])
    assert [row.target for row in rows] == ["E2", "E1"]


def test_single_values_have_the_scatter_about_the_line_and_the_row_says_so() -> None:
    single = [measured(a.encoder, 0.40 + 0.05 * i, half=None) for i, a in enumerate(LAION)]
    (slope,) = scaling_rows(single)
    assert slope.ci95_low is not None
    assert slope.target == ""
    assert slope.why == "the interval is from the scatter of the sizes about their line alone"


def test_settings_tied_to_the_size_do_not_break_a_series_and_others_do() -> None:
    def with_settings(average: Average, *settings: tuple[str, str]) -> Average:
        return replace(average, encoder=replace(average.encoder, settings=settings))

    seen = [with_settings(a, ("pretrain_samples_seen", str(i))) for i, a in enumerate(LAION)]
    assert [row.sizes for row in scaling_rows(seen)] == [3]
    rates = [with_settings(a, ("pretrain_lr", str(i))) for i, a in enumerate(LAION)]
    assert scaling_rows(rates) == []


def test_means_over_different_data_sets_are_not_put_on_one_line() -> None:
    odd = replace(LAION[1], datasets=8, left_out="dtd: not complete")
    slope, crossing = scaling_rows([LAION[0], odd, LAION[2], measured(IMAGENET, 0.45)])
    assert slope.value is None and crossing.value is None
    assert slope.why == "the means are over different data sets"


def test_a_size_without_result_is_named() -> None:
    absent = replace(LAION[1], interval=None)
    (slope,) = scaling_rows([LAION[0], absent, LAION[2]])
    assert (slope.sizes, slope.why) == (2, "no result of 3M; two sizes: no interval")


def test_snapshots_are_no_sizes() -> None:
    early = [replace(a, encoder=replace(a.encoder, snapshot=1000)) for a in LAION]
    assert scaling_rows(early) == []


def test_other_architectures_are_compared_and_named() -> None:
    vit = measured(replace(IMAGENET, arch="ViT-B-32"), 0.45)
    row = crossing_of(scaling_rows([*LAION, vit]), "clip laion", IMAGENET.label)
    assert row.why == "the architectures differ"


def test_rows_are_read_back_as_they_were_written() -> None:
    rows = scaling_rows([*LAION, *YFCC, measured(IMAGENET, 0.55)])
    texts = [{name: csv_files.cell(v) for name, v in as_row(row).items()} for row in rows]
    assert [csv_files.typed(Scaling, text).text for text in texts] == [row.text for row in rows]


def test_a_factor_far_below_1_keeps_its_digits() -> None:
    """Tiny sizes beside weights of two billion images: the table had 0, and a figure its log."""
    tiny = [
        measured(encoder(f"clip laion {n}", "laion", n), at)
        for n, at in ((64, 0.4), (96, 0.45), (160, 0.52))
    ]
    released = measured(encoder("released laion2b", "laion", 2_000_000_000, "released"), 0.46)
    row = crossing_of(scaling_rows([*tiny, released]), "clip laion", "released laion2b")
    assert row.value is not None and 64 < row.value * 2e9 < 160
    read = csv_files.typed(Scaling, {n: csv_files.cell(v) for n, v in as_row(row).items()})
    assert read.value == pytest.approx(row.value, rel=1e-5)
    assert read.ci95_low == pytest.approx(row.ci95_low, rel=1e-5)
