"""variance.csv: the luck of each kind, and what one more draw or seed brings for what it costs."""

import math
from dataclasses import replace

import pytest

from hpc_xfer.results.answers.rows import Variance, as_row
from hpc_xfer.results.answers.variance import Costs, variance_rows
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.panels import panels_of
from hpc_xfer.results.scores import Score
from hpc_xfer.results.tables.csv_files import cell, typed

Rows = dict[str, Variance]
CLIP = EncoderInfo("clip", "clip", "RN50", "web", 8000, 8000, None)
SUPERVISED = replace(CLIP, label="supervised", method="supervised")
SCRATCH = replace(CLIP, label="scratch", method="scratch", source="")
# Points of each label, and what seeds and draws add to them.
RUNS = {CLIP: 40, SUPERVISED: 45, SCRATCH: 30}
SEEDS, DRAWS = (-2, 0, 2), (-3, 0, 3)


def scores(
    seeds: int = 3, draws: int = 3, shots: str = "5", n_test: int | None = 900
) -> list[Score]:
    """Every label with so many seeds and draws; draws favor some, and what is left is 1 point."""
    return [
        Score(
            encoder=encoder,
            pretrain_seed=str(s),
            dataset="digits",
            shots=shots,
            draw=str(d),
            mode="lp",
            test_top1=(level + SEEDS[s] + DRAWS[d] + n * d % 3 * 2 + (-1) ** (s + d)) / 100,
            n_test=n_test,
        )
        for n, (encoder, level) in enumerate(RUNS.items())
        for s in range(seeds)
        for d in range(draws)
    ]


def told(given: list[Score], costs: Costs | None = None) -> Rows:
    found = variance_rows(panels_of(given), costs or Costs())
    assert len({(row.mode, row.dataset, row.shots) for row in found}) == 1
    return {row.component: row for row in found}


def test_each_place_has_five_rows_in_this_order() -> None:
    found = variance_rows(panels_of([*scores(), *scores(shots="20")]), Costs())
    kinds = ["draw", "seed", "label x draw", "run", "image"]
    assert [(row.shots, row.component) for row in found] == [
        (shots, kind) for shots in ("5", "20") for kind in kinds
    ]


def test_repeats_and_freedom_are_those_of_the_table() -> None:
    found = told(scores())
    assert {name: row.repeats for name, row in found.items()} == {
        "draw": 3, "seed": 3, "label x draw": 3, "run": 9, "image": 900,
    }  # fmt: skip
    assert [row.freedom for row in found.values()] == [2, 6, 4, 12, None]


def test_the_luck_of_the_test_images_is_binomial() -> None:
    image = told([replace(score, test_top1=0.36) for score in scores()])["image"]
    assert image.sd == pytest.approx(math.sqrt(0.36 * 0.64 / 900))
    assert image.text == (
        "900 test images leave ±3.1 points on one accuracy; more draws and seeds do not narrow this"
    )
    assert (image.half_width, image.cost_hours) == (None, None)


def test_an_unknown_number_of_test_images_has_no_sd_and_says_why() -> None:
    image = told(scores(n_test=None))["image"]
    assert (image.sd, image.repeats) == (None, 0)
    assert image.why == "the number of test images is not known"


def test_more_seeds_and_more_draws_stand_beside_their_cost() -> None:
    costs = Costs(seed_hours=120.4, draw_hours={("lp", "digits", "5"): 0.41})
    found = told(scores(), costs)
    draw, seed = found["draw"], found["seed"]
    assert (draw.cost_hours, seed.cost_hours) == (0.41, 120.4)
    assert draw.half_width == seed.half_width
    assert draw.half_width is not None and draw.half_width_more is not None
    assert seed.half_width_more is not None
    now, more_draws, more_seeds = (
        f"{100 * width:.1f}"
        for width in (draw.half_width, draw.half_width_more, seed.half_width_more)
    )
    assert float(more_seeds) < float(more_draws) < float(now)
    assert draw.text == (
        f"one more draw narrows a difference of two encoders from ±{now} to ±{more_draws} points "
        "for 0.41 GPU-hours"
    )
    assert seed.text == (
        "one more seed of each pre-training narrows a difference of two encoders from "
        f"±{now} to ±{more_seeds} points for 120 GPU-hours"
    )


def test_a_cost_that_no_record_tells_is_left_out() -> None:
    found = told(scores())
    assert found["seed"].cost_hours is None
    assert "hours" not in found["seed"].text + found["draw"].text


def test_hours_of_processors_are_called_so() -> None:
    costs = Costs(seed_hours=3.0, unit="CPU-hours")
    assert "for 3 CPU-hours" in told(scores(), costs)["seed"].text


def test_one_seed_speaks_for_these_pretrainings_alone() -> None:
    found = told(scores(seeds=1), Costs(seed_hours=12))
    assert (found["seed"].sd, found["seed"].why) == (None, "one seed")
    assert found["seed"].text == (
        "a second seed of each pre-training, 12 GPU-hours, lets differences hold for other seeds"
    )
    assert "a difference of these pre-trainings" in found["draw"].text
    assert found["label x draw"].why == "includes run: one seed"
    assert found["run"].why == "one seed: it is in label x draw"


def test_released_weights_are_offered_no_other_seed() -> None:
    found = told([replace(score, pretrain_seed="") for score in scores(seeds=1)], Costs(12.0))
    assert (found["seed"].text, found["seed"].cost_hours) == ("", None)


def test_one_draw_at_few_shots_has_no_half_width() -> None:
    found = told(scores(draws=1))
    assert {row.half_width for row in found.values()} == {None}
    assert found["draw"].why == "one draw"


def test_one_draw_at_full_data_has_a_half_width_by_its_seeds() -> None:
    seed = told(scores(draws=1, shots="full"))["seed"]
    assert seed.half_width is not None and seed.half_width_more is not None
    assert seed.half_width_more < seed.half_width
    assert seed.text.startswith("one more seed of each pre-training narrows")
    assert "draw" not in seed.text


def test_a_change_too_small_to_print_is_no_change() -> None:
    same = [replace(score, test_top1=0.5) for score in scores()]
    assert (
        told(same)["draw"].text
        == "one more draw leaves a difference of two encoders at ±0.0 points"
    )


def test_snapshots_take_no_part() -> None:
    early = replace(CLIP, label="clip at 1k", samples_seen=1000, snapshot=1000)
    snapshots = [replace(s, encoder=early, test_top1=0.1) for s in scores() if s.encoder == CLIP]
    assert told([*scores(), *snapshots]) == told(scores())


def test_a_missing_cell_leaves_the_others_in_place() -> None:
    one = [replace(s, test_top1=None) if n == 0 else s for n, s in enumerate(scores())]
    found, whole = told(one), told(scores())
    assert [row.repeats for row in found.values()] == [row.repeats for row in whole.values()]
    assert found["run"].freedom == 11
    assert found["draw"].sd == pytest.approx(whole["draw"].sd, rel=0.3)


def test_a_label_whose_seeds_share_no_draw_is_named() -> None:
    apart = [
        replace(s, test_top1=None) if s.encoder == CLIP and s.pretrain_seed != s.draw else s
        for s in scores()
    ]
    assert told(apart)["seed"].why == "without clip: seeds and draws do not overlap"


def test_without_a_complete_cell_there_are_no_rows() -> None:
    absent = panels_of(replace(score, test_top1=None) for score in scores())
    assert variance_rows(absent, Costs()) == []


def test_a_row_is_read_back_from_its_table() -> None:
    for row in variance_rows(panels_of(scores(seeds=1)), Costs()):
        back = typed(Variance, {name: cell(value) for name, value in as_row(row).items()})
        assert (back.component, back.text, back.why) == (row.component, row.text, row.why)
        assert back.sd == (None if row.sd is None else pytest.approx(row.sd, abs=1e-6))
