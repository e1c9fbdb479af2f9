"""Tables with holes: a draw that an encoder lacks is no luck of its own, and silences no other."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from hpc_xfer.results.answers.gaps import gaps
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.averages import Average, averages
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.panels import panels_of
from hpc_xfer.results.scores import Score
from hpc_xfer.results.test_images import TestImages

TRUE = {"a": 0.52, "b": 0.50, "c": 0.51, "d": 0.45}
LUCK = {"0": 0.0, "1": 0.01, "2": 0.20, "3": -0.01}  # of a draw: the third has 20 points
MEAN_LUCK = 0.05


def encoder(source: str) -> EncoderInfo:
    return EncoderInfo(f"clip {source}", "clip", "RN50", source, 1000, 16000, None)


def study(seeds: int, datasets: Sequence[str] = ("pets", "dtd")) -> list[Score]:
    """Four sources that differ by known points, with a little noise of their own."""
    return [
        Score(
            encoder(source),
            str(seed),
            dataset,
            "1",
            draw,
            "lp",
            true + luck + 0.001 * ((len(dataset) + 3 * seed + 5 * int(draw) + ord(source)) % 7 - 3),
        )
        for source, true in TRUE.items()
        for seed in range(seeds)
        for dataset in datasets
        for draw, luck in LUCK.items()
    ]


def without(
    scores: Iterable[Score], source: str, dataset: str, draw: str, seed: str = ""
) -> list[Score]:
    """The same cells, but some are not complete."""
    return [
        replace(score, test_top1=None)
        if (score.encoder.source, score.dataset, score.draw) == (source, dataset, draw)
        and seed in ("", score.pretrain_seed)
        else score
        for score in scores
    ]


def mean(scores: Iterable[Score], source: str, dataset: str) -> Average:
    [found] = [
        each
        for each in averages(panels_of(scores))
        if (each.encoder.source, each.dataset) == (source, dataset)
    ]
    return found


def pairs(scores: Iterable[Score], dataset: str) -> dict[tuple[str, str], Gap]:
    return {
        (row.level_a, row.level_b): row
        for row in gaps(panels_of(scores), TestImages())
        if (row.axis, row.kind, row.dataset) == ("source", "pair", dataset)
    }


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("dataset", ["pets", "mean"])
def test_an_encoder_that_lacks_a_lucky_draw_is_no_worse_for_it(seeds: int, dataset: str) -> None:
    scores = without(study(seeds), "a", "pets", "2")
    found = mean(scores, "a", dataset)
    assert found.interval is not None
    assert found.interval.mean == pytest.approx(TRUE["a"] + MEAN_LUCK, abs=0.004)
    assert (found.missing, found.draws) == (seeds, 3)
    for (a, b), row in pairs(scores, dataset).items():
        assert row.difference == pytest.approx(TRUE[a] - TRUE[b], abs=0.004)
        assert row.missing == (seeds if a == "a" else 0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_luck_of_a_filled_draw_stays_in_the_interval(seeds: int) -> None:
    whole = mean(study(seeds), "a", "pets").interval
    filled = mean(without(study(seeds), "a", "pets", "2"), "a", "pets").interval
    assert whole is not None and filled is not None
    assert whole.half is not None and filled.half is not None
    assert filled.half == pytest.approx(whole.half, rel=0.05)  # 15.7 points, of 1 without the draw


def test_the_means_of_whole_encoders_do_not_depend_on_the_others() -> None:
    scores = study(1)
    assert mean(without(scores, "a", "pets", "2"), "b", "pets") == mean(scores, "b", "pets")


def test_one_missing_seed_of_a_draw_is_filled_from_the_other_seeds() -> None:
    found = mean(without(study(3), "a", "pets", "2", seed="1"), "a", "pets")
    assert found.interval is not None
    assert found.interval.mean == pytest.approx(TRUE["a"] + MEAN_LUCK, abs=0.003)
    assert (found.draws, found.missing) == (4, 1)


def test_an_encoder_that_shares_no_draw_silences_its_own_comparisons_alone() -> None:
    """d has one draw so far, which the others do not have yet."""
    scores = study(1, ("pets",))
    for draw in "012":
        scores = without(scores, "d", "pets", draw)
    for source in "abc":
        scores = without(scores, source, "pets", "3")
    found = pairs(scores, "pets")
    assert found["a", "b"].verdict == "a"
    alone = found["a", "d"]
    assert (alone.verdict, alone.why) == ("", "seeds and draws do not overlap: no interval")
    kinds = {row.kind: row for row in gaps(panels_of(scores), TestImages()) if row.kind != "pair"}
    assert (kinds["best-worst"].level_a, kinds["best-worst"].level_b) == ("a", "b")


def test_two_labels_with_too_few_common_draws_say_so() -> None:
    scores = [score for score in study(1, ("pets",)) if score.encoder.source in "ab"]
    for draw in "123":
        scores = without(scores, "a", "pets", draw)
    assert pairs(scores, "pets")["a", "b"].why == "too few draws in common: no interval"


@pytest.mark.parametrize("seeds", [1, 2])
def test_data_sets_without_a_common_draw_stop_nothing(seeds: int) -> None:
    """An unfinished study: a has another draw, or another seed, on each data set."""
    scores = [
        score
        for score in study(seeds)
        if score.encoder.source != "a"
        or (score.draw, score.pretrain_seed)
        == (("0", "0") if score.dataset == "pets" else ("1", str(seeds - 1)))
    ]
    found = pairs(scores, "mean")
    assert found["b", "c"].target == ("E1" if seeds == 1 else "E2")
    assert (found["a", "b"].verdict == "") == (seeds == 2)
