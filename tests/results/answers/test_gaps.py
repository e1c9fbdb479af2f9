"""Planted differences come back, with the error rate of their family and their scope."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from hpc_xfer.results.answers.axes import comparisons
from hpc_xfer.results.answers.gaps import gaps
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.panels import panels_of
from hpc_xfer.results.scores import Score
from hpc_xfer.results.test_images import TestImages

SCRATCH = EncoderInfo("scratch", "scratch", "RN50", "", None, None, None)


def clip(source: str, samples: int = 1000, **other: object) -> EncoderInfo:
    info = EncoderInfo(f"clip {source} {samples}", "clip", "RN50", source, samples, 16000, None)
    return replace(info, **other)  # type: ignore[arg-type]  # any field


def study(
    accuracy: Callable[[EncoderInfo, str, str], float],
    encoders: Iterable[EncoderInfo],
    datasets: Sequence[str] = ("pets",),
    shots: Sequence[str] = ("1",),
    seeds: int = 1,
    draws: int = 3,
) -> list[Score]:
    """Scores with the luck of the draw, which all encoders share, and 0.5 points of their own."""
    found = []
    for encoder in encoders:
        for dataset in datasets:
            for number in shots:
                for seed in range(seeds):
                    for draw in range(draws):
                        shared = random.Random(f"{dataset} {number} {draw}").gauss(0, 0.03)
                        key = f"{encoder.label} {dataset} {number} {seed} {draw}"
                        own = random.Random(key).gauss(0, 0.005)
                        top1 = accuracy(encoder, dataset, number) + shared + own
                        where = (dataset, number, str(draw), "lp")
                        found.append(Score(encoder, str(seed), *where, top1))
    return found


def table(scores: Iterable[Score]) -> list[Gap]:
    return gaps(panels_of(scores), TestImages())


def only(rows: Iterable[Gap], **fields: object) -> Gap:
    """The one row that has these fields."""
    [row] = [r for r in rows if all(getattr(r, key) == value for key, value in fields.items())]
    return row


def test_a_planted_difference_between_sources_comes_back() -> None:
    better = {"laion": 0.60, "yfcc": 0.55, "wit": 0.55}
    scores = study(lambda e, *_: better[e.source], [clip(source) for source in better])
    rows = table(scores)
    found = only(rows, kind="pair", a="clip laion 1000", b="clip yfcc 1000")
    assert found.difference == pytest.approx(0.05, abs=0.01)
    assert (found.verdict, found.target, found.comparisons) == ("a", "E1", 3)
    assert (found.level_a, found.level_b) == ("laion", "yfcc")
    none = only(rows, axis="source", kind="pair", a="clip yfcc 1000", b="clip wit 1000")
    assert none.verdict == "not told apart"


def test_the_range_over_sources_knows_that_the_best_was_lucky() -> None:
    sources = [clip(name) for name in ("a", "b", "c", "d", "e", "f", "g")]
    rows = table(study(lambda *_: 0.5, sources))
    found = only(rows, kind="best-worst")
    assert found.difference > 0
    assert (found.verdict, found.levels) == ("not told apart", 7)
    assert found.unbiased == pytest.approx(0.0, abs=0.006)
    assert only(rows, kind="spread").difference == pytest.approx(0.0, abs=0.004)


def test_against_scratch_each_label_has_the_interval_of_dunnett() -> None:
    encoders = [clip("laion"), clip("yfcc"), SCRATCH]
    rows = table(study(lambda e, *_: 0.5 + 0.1 * (e.source == "laion"), encoders))
    found = [row for row in rows if row.axis == "scratch"]
    assert [(row.a, row.b, row.verdict) for row in found] == [
        ("clip laion 1000", "scratch", "a"),
        ("clip yfcc 1000", "scratch", "not told apart"),
    ]
    laion = found[0]
    assert laion.freedom == 4  # (3 labels - 1) (3 draws - 1): the critical value is 3.32
    assert laion.ci95_high is not None
    pair = only(rows, axis="source", kind="pair")
    assert pair.ci95_high is not None


def test_the_mean_leaves_out_a_data_set_that_lacks_shots_and_names_it() -> None:
    whole = study(lambda e, *_: 0.5, [clip("a"), clip("b")], ("pets", "dtd"), ("1", "20"))
    short = study(lambda e, *_: 0.5, [clip("a"), clip("b")], ("clipart",), ("1",))
    found = only(table(whole + short), axis="source", kind="pair", dataset="mean", shots="1")
    assert (found.datasets, found.left_out) == (2, "clipart (no 20 shots)")


def test_one_absent_cell_silences_no_comparison() -> None:
    scores = study(lambda e, *_: 0.5, [clip("a"), clip("b")], ("pets", "dtd"), ("1", "20"))
    scores[0] = replace(scores[0], test_top1=None)
    found = only(table(scores), axis="source", kind="pair", dataset="mean", shots="1")
    assert (found.missing, found.datasets, found.verdict) == (1, 2, "not told apart")


def test_one_draw_at_few_shots_gets_no_interval_and_says_why() -> None:
    scores = study(lambda e, *_: 0.5, [clip("a"), clip("b")], seeds=3, draws=1)
    found = only(table(scores), kind="pair")
    assert (found.ci95_low, found.verdict, found.why) == (None, "", "one draw: no interval")


def test_with_seeds_a_difference_covers_other_pretrainings() -> None:
    encoders = [clip("a"), clip("b"), clip("c")]
    rows = table(study(lambda e, *_: 0.5, encoders, seeds=3, draws=3))
    found = only(rows, kind="pair", a="clip a 1000", b="clip b 1000")
    assert (found.target, found.seeds_a, found.seeds_b, found.draws) == ("E2", 3, 3, 3)


def test_false_differences_in_a_family_are_as_rare_as_promised() -> None:
    wrong = 0
    for n in range(200):
        encoders = [clip(f"{n} {name}") for name in "abcdef"] + [SCRATCH]
        scores = study(lambda *_: 0.5, encoders)
        found = [row for row in table(scores) if row.axis == "scratch"]
        wrong += any(row.verdict == "a" for row in found)
    assert wrong / 200 <= 0.05  # 2.5% on this side are promised


def test_levels_are_compared_at_equal_other_settings() -> None:
    encoders = [clip("a"), clip("b"), clip("a", 5000), clip("b", 5000)]
    found = {
        (each.axis, each.at): [encoder.label for encoder in each.encoders]
        for each in comparisons(encoders)
    }
    assert found[("source", "clip, RN50, 1k samples, 16k samples seen")] == [
        "clip a 1000", "clip b 1000",
    ]  # fmt: skip
    assert ("samples", "clip, RN50, a, 16k samples seen") in found


def test_what_else_differs_between_two_methods_is_named() -> None:
    one = clip("a", settings=(("pretrain_crop", "0.9"), ("pretrain_lr", "0.001")))
    other = replace(
        one,
        label="simclr a 1000",
        method="simclr",
        settings=(("pretrain_crop", "0.4"), ("pretrain_lr", "0.001"), ("pretrain_gray", "0")),
    )
    [found] = [each for each in comparisons([one, other]) if each.axis == "method"]
    assert found.differs(one, other) == "crop"


def test_a_strict_pair_is_not_mixed_with_a_looser_one() -> None:
    """Two learning rates of two sources: sources are compared at equal learning rates only."""
    encoders = [
        clip(source, label=f"{source} {lr}", settings=(("pretrain_lr", lr),))
        for source in ("a", "b")
        for lr in ("0.1", "0.2")
    ]
    found = [each for each in comparisons(encoders) if each.axis == "source"]
    assert [[e.label for e in each.encoders] for each in found] == [
        ["a 0.1", "b 0.1"], ["a 0.2", "b 0.2"],
    ]  # fmt: skip
    assert [each.axis for each in comparisons(encoders)].count("lr") == 2


def test_curated_data_are_compared_at_equal_samples_and_at_equal_samples_seen() -> None:
    encoders = [
        clip("imagenet", 1000, curation="curated", samples_seen=16000),
        clip("laion", 1000, curation="web", samples_seen=16000),
        clip("laion", 4000, curation="web", samples_seen=16000),
    ]
    found = [each.at for each in comparisons(encoders) if each.axis == "curation"]
    assert found == ["clip, RN50, 16k samples seen"]


def named(encoders: Sequence[EncoderInfo], axis: str) -> dict[str, list[tuple[str, str]]]:
    """The pairs of each comparison along an axis, by what its encoders share."""
    return {
        each.at: [(a.label, b.label) for a, b in each.pairs()]
        for each in comparisons(encoders)
        if each.axis == axis
    }


def test_a_source_at_one_learning_rate_is_not_compared_with_another_at_another() -> None:
    """c has one learning rate alone; it has strict partners in a and b there."""
    rates = (("a", "0.1"), ("b", "0.1"), ("c", "0.1"), ("a", "0.2"), ("b", "0.2"))
    encoders = [
        clip(name, label=f"{name} {lr}", settings=(("pretrain_lr", lr),)) for name, lr in rates
    ]
    assert named(encoders, "source") == {
        "clip, RN50, 1k samples, 16k samples seen, lr=0.1": [
            ("a 0.1", "b 0.1"), ("a 0.1", "c 0.1"), ("b 0.1", "c 0.1"),
        ],
        "clip, RN50, 1k samples, 16k samples seen, lr=0.2": [("a 0.2", "b 0.2")],
    }  # fmt: skip


def test_levels_without_a_strict_pair_are_compared_with_all_and_the_strict_pairs_stay() -> None:
    rates = (("a", "0.1"), ("b", "0.1"), ("a", "0.2"), ("b", "0.2"), ("c", "0.3"))
    encoders = [
        clip(name, label=f"{name} {lr}", settings=(("pretrain_lr", lr),)) for name, lr in rates
    ]
    found = named(encoders, "source")
    assert found["clip, RN50, 1k samples, 16k samples seen, unequal settings"] == [
        ("a 0.1", "c 0.3"), ("b 0.1", "c 0.3"), ("a 0.2", "c 0.3"), ("b 0.2", "c 0.3"),
    ]  # fmt: skip
    assert found["clip, RN50, 1k samples, 16k samples seen, lr=0.2"] == [("a 0.2", "b 0.2")]


def test_methods_are_compared_at_the_settings_that_they_could_share() -> None:
    encoders = [
        clip("s", label=f"{method} {lr}", method=method,
             settings=(("pretrain_crop", crop), ("pretrain_lr", lr)))
        for method, crop in (("clip", "0.9"), ("simclr", "0.1"))
        for lr in ("0.1", "0.2")
    ]  # fmt: skip
    assert named(encoders, "method") == {
        "RN50, s, 1k samples, 16k samples seen, lr=0.1": [("clip 0.1", "simclr 0.1")],
        "RN50, s, 1k samples, 16k samples seen, lr=0.2": [("clip 0.2", "simclr 0.2")],
    }


def test_curation_is_compared_within_a_method() -> None:
    crop = {"clip": "0.9", "simclr": "0.1"}
    encoders = [
        clip(source, label=f"{method} {source}", method=method, curation=level,
             settings=(("pretrain_crop", crop[method]),))
        for method in crop
        for source, level in (("imagenet", "curated"), ("laion", "web"), ("yfcc", "web"))
    ]  # fmt: skip
    assert named(encoders, "curation") == {
        f"{method}, RN50, 1k samples, 16k samples seen": [
            (f"{method} imagenet", f"{method} laion"), (f"{method} imagenet", f"{method} yfcc"),
        ]
        for method in crop
    }  # fmt: skip


def test_two_sources_of_one_level_are_no_best_and_worst_of_an_axis() -> None:
    """laion minus yfcc, both web, says nothing on curation."""
    encoders = [
        clip("imagenet", curation="curated"), clip("laion", curation="web"),
        clip("yfcc", curation="web"),
    ]  # fmt: skip
    rows = table(study(lambda e, *_: 0.5 + 0.1 * (e.source == "laion"), encoders))
    assert {row.kind for row in rows if row.axis == "curation"} == {"pair"}
    assert only(rows, axis="source", kind="best-worst").level_a == "laion"


def test_zero_shot_accuracies_of_several_seeds_have_an_interval_without_draws() -> None:
    """There is no training image to draw, so the seeds are all the luck there is."""
    scores = study(lambda *_: 0.5, [clip("a"), clip("b")], shots=("0",), seeds=3, draws=1)
    found = only(table(scores), kind="pair")
    assert (found.target, found.why) == ("E2", "")


@pytest.mark.parametrize("better", [0.2, 0.0])
def test_repetitions_that_are_all_equal_claim_nothing(better: float) -> None:
    """On ten test images two draws often give the same number; that is no certainty."""
    sources = {"laion": 0.5 + better, "yfcc": 0.5, "wit": 0.5}
    scores = [
        replace(score, test_top1=sources[score.encoder.source])
        for score in study(lambda *_: 0.5, [clip(name) for name in sources])
    ]
    for row in table(scores):
        assert row.kind != "spread" and row.why == "equal in all repetitions: no useful interval"
        assert (row.verdict, row.ci95_low, row.p) == ("", None, None)
