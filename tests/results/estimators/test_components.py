"""Variance components: planted ones come back, and the mean squares are those of statsmodels."""

import math
from collections.abc import Mapping

import numpy
import pandas
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from hpc_xfer.results.estimators.components import Components, components, mean_squares
from hpc_xfer.results.estimators.estimate import student

Table = dict[str, dict[tuple[str, str], float]]
PLANTED = {"draw": 3.0, "seed": 1.0, "label x draw": 1.2, "run": 0.6}  # points


def table(values: list[list[float]], label: str = "a") -> Table:
    """One label, a row per seed and a column per draw."""
    cells = {(str(s), str(d)): v for s, row in enumerate(values) for d, v in enumerate(row)}
    return {label: cells}


def simulated(
    sd: Mapping[str, float], labels: int, seeds: list[int], draws: int, rng_seed: int = 0
) -> Table:
    """Planted luck over labels of different means; `seeds` is taken in turn."""
    rng = numpy.random.default_rng(rng_seed)
    shared = rng.normal(0, sd["draw"], draws)
    found: Table = {}
    for label in range(labels):
        own = rng.normal(0, sd["label x draw"], draws)
        values = found.setdefault(f"label {label:02}", {})
        for seed in range(seeds[label % len(seeds)]):
            luck = label + rng.normal(0, sd["seed"])
            for draw in range(draws):
                run = rng.normal(0, sd["run"])
                values[str(seed), f"{draw:03}"] = luck + shared[draw] + own[draw] + run
    return found


def estimated(found: Components) -> dict[str, float | None]:
    return {part.source: part.sd for part in (found.draw, found.seed, found.label_draw, found.run)}


def test_three_seeds_by_three_draws_have_the_mean_squares_of_the_worked_example() -> None:
    found = mean_squares(table([[0.30, 0.52, 0.41], [0.34, 0.50, 0.45], [0.28, 0.49, 0.40]]))
    assert found.seed.value == pytest.approx(0.0012)
    assert found.draw.value == pytest.approx(0.029233, abs=1e-6)
    assert found.run.value == pytest.approx(0.000333, abs=1e-6)
    assert (found.seed.freedom, found.draw.freedom, found.run.freedom) == (2, 2, 4)
    assert found.label_draw.value is None


def test_a_large_table_gives_back_what_was_planted() -> None:
    found = estimated(components(simulated(PLANTED, labels=40, seeds=[8], draws=200)))
    assert found == {name: pytest.approx(sd, rel=0.1) for name, sd in PLANTED.items()}


def test_unequal_numbers_of_seeds_give_back_what_was_planted() -> None:
    many = simulated(PLANTED, labels=60, seeds=[1, 3, 8], draws=200)
    found = components(many)
    assert estimated(found) == {name: pytest.approx(sd, rel=0.1) for name, sd in PLANTED.items()}


@pytest.mark.parametrize("seeds", [[3], [1, 2, 4]], ids=["equal", "unequal"])
def test_estimates_of_small_tables_are_right_on_average(seeds: list[int]) -> None:
    sd = {"draw": 1.0, "seed": 1.0, "label x draw": 1.0, "run": 1.0}  # none is cut at 0 often
    drawn = [mean_squares(simulated(sd, 6, seeds, 5, rng_seed=n)) for n in range(400)]
    mean = {
        name: numpy.mean([getattr(squares, name).value for squares in drawn])
        for name in ("draw", "seed", "label_draw", "run")
    }
    harmonic = drawn[0].per_label_draw
    assert mean["run"] == pytest.approx(1, rel=0.1)
    assert mean["label_draw"] == pytest.approx(1 + harmonic, rel=0.1)
    assert mean["draw"] == pytest.approx(1 + harmonic + 6 * harmonic, rel=0.1)
    if seeds == [3]:
        assert mean["seed"] == pytest.approx(1 + 5, rel=0.1)


def test_mean_squares_are_those_of_the_analysis_of_variance() -> None:
    planted = simulated(PLANTED, labels=4, seeds=[3], draws=5)
    rows = [(k, s, d, v) for k, cells in planted.items() for (s, d), v in cells.items()]
    label, seed, draw, y = (list(column) for column in zip(*rows, strict=True))
    data = pandas.DataFrame({"label": label, "seed": seed, "draw": draw, "y": y})
    fit = ols("y ~ C(label) * C(draw) + C(label):C(seed)", data).fit()
    reference = anova_lm(fit)
    found = mean_squares(planted)
    for name, square in {
        "C(draw)": found.draw,
        "C(label):C(seed)": found.seed,
        "C(label):C(draw)": found.label_draw,
        "Residual": found.run,
    }.items():
        assert square.freedom == reference.loc[name, "df"]
        assert square.value == pytest.approx(reference.loc[name, "sum_sq"] / square.freedom)


def test_with_one_seed_the_label_x_draw_component_includes_the_run() -> None:
    found = components(simulated(PLANTED, labels=100, seeds=[1], draws=200))
    assert (found.seed.variance, found.seed.why) == (None, "one seed")
    assert found.run.variance is None
    assert found.label_draw.sd == pytest.approx(math.hypot(1.2, 0.6), rel=0.05)
    assert found.label_draw.why == "includes run: one seed"
    assert found.draw.sd == pytest.approx(3.0, rel=0.1)


def test_with_one_draw_the_seed_component_includes_the_run() -> None:
    found = components(simulated(PLANTED, labels=50, seeds=[20], draws=1))
    assert found.seed.sd == pytest.approx(math.hypot(1.0, 0.6), rel=0.1)
    assert found.seed.why == "includes run: one draw"
    assert found.draw.why == found.label_draw.why == found.run.why == "one draw"


def test_one_label_has_a_draw_component_that_includes_its_own() -> None:
    found = components(simulated(PLANTED, labels=1, seeds=[10], draws=400))
    assert found.draw.sd == pytest.approx(math.hypot(3.0, 1.2), rel=0.1)
    assert found.draw.why == "includes label x draw: one label"
    assert found.label_draw.why == "one label"
    assert found.half_width(3, 3) is None


def test_an_estimate_below_zero_counts_as_zero() -> None:
    opposite = table([[0.1, 0.3], [0.3, 0.1]], "a") | table([[0.2, 0.4], [0.4, 0.2]], "b")
    found = components(opposite)
    assert found.seed.variance == found.label_draw.variance == found.draw.variance == 0
    assert found.run.sd == pytest.approx(0.2)


def test_no_values_have_no_components() -> None:
    found = components({})
    assert set(estimated(found).values()) == {None}
    assert found.draw.why == "no result"


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
def test_missing_cells_give_back_what_was_planted(share: float) -> None:
    planted = simulated(PLANTED, labels=30, seeds=[1, 3, 6], draws=60)
    rng = numpy.random.default_rng(0)
    gaps = {
        label: {key: value for key, value in cells.items() if rng.random() >= share}
        for label, cells in planted.items()
    }
    found = estimated(components(gaps))
    assert found == {name: pytest.approx(sd, rel=0.25) for name, sd in PLANTED.items()}


def test_a_label_with_few_draws_holds_up_no_other() -> None:
    planted = simulated(PLANTED, labels=20, seeds=[4], draws=40)
    short = {key: value for key, value in planted["label 03"].items() if key[1] in ("000", "001")}
    found = components(planted | {"label 03": short})
    assert (found.labels, found.seeds, found.draws) == (20, 4, 40)
    assert estimated(found) == {
        name: pytest.approx(sd, rel=0.1) for name, sd in estimated(components(planted)).items()
    }


def test_a_label_whose_seeds_share_no_draw_is_left_out_and_named() -> None:
    planted = simulated(PLANTED, labels=3, seeds=[2], draws=4)
    apart = {("0", "000"): 1.0, ("1", "001"): 2.0}
    found = components(planted | {"other": apart})
    assert found.left_out == "other"
    assert estimated(found) == estimated(components(planted))


def test_labels_that_share_no_draw_have_seeds_and_runs_alone() -> None:
    first, second = simulated(PLANTED, labels=2, seeds=[2], draws=4).values()
    late = {(seed, f"1{draw}"): value for (seed, draw), value in second.items()}
    found = components({"a": first, "b": late})
    assert found.seed.variance is not None and found.run.variance is not None
    assert found.draw.why == found.label_draw.why == "the labels share too few draws"


def test_the_order_of_the_values_changes_no_bit() -> None:
    planted = simulated(PLANTED, labels=5, seeds=[1, 3], draws=6)
    turned = {label: dict(reversed(cells.items())) for label, cells in reversed(planted.items())}
    assert components(planted) == components(turned)


def test_the_half_width_of_a_difference_is_that_of_its_parts() -> None:
    found = components(simulated(PLANTED, labels=6, seeds=[3], draws=5))
    seed, cross, run = found.seed.variance, found.label_draw.variance, found.run.variance
    assert seed is not None and cross is not None and run is not None
    by_seed, by_draw = seed / 4 + run / 32, cross / 8 + run / 32
    freedom = (by_seed + by_draw) ** 2 / (by_seed**2 / (6 * 3) + by_draw**2 / (5 * 7))
    variance = 2 * (seed / 4 + cross / 8 + run / 32)
    assert found.half_width(4, 8) == pytest.approx(student(freedom) * math.sqrt(variance))


def test_the_half_width_is_right_for_differences_of_fresh_studies() -> None:
    found = components(simulated(PLANTED, labels=60, seeds=[20], draws=60)).half_width(3, 4)
    fresh = (simulated(PLANTED, labels=2, seeds=[3], draws=4, rng_seed=n) for n in range(2000))
    gaps = [
        float(numpy.mean(list(b.values())) - numpy.mean(list(a.values())))
        for a, b in (tuple(study.values()) for study in fresh)
    ]
    assert found == pytest.approx(1.96 * float(numpy.std(gaps)), rel=0.1)


def test_more_draws_or_seeds_narrow_a_difference_down_to_what_the_other_leaves() -> None:
    found = components(simulated(PLANTED, labels=6, seeds=[3], draws=5))
    widths = [found.half_width(3, draws) or 0 for draws in (5, 6, 10, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(widths[-2], rel=0.02)  # the seeds are left
    assert (found.half_width(4, 5) or 0) < widths[0]


def test_one_seed_has_a_half_width_for_these_pretrainings_alone() -> None:
    found = components(simulated(PLANTED, labels=6, seeds=[1], draws=5))
    assert found.half_width(1, 5) == pytest.approx(
        student(20) * math.sqrt(2 * (found.label_draw.variance or 0) / 5)
    )
    assert found.half_width(2, 5) is None


def test_two_labels_with_two_draws_have_no_half_width_of_use() -> None:
    assert components(simulated(PLANTED, labels=2, seeds=[1], draws=2)).half_width(1, 2) is None
    assert components(simulated(PLANTED, labels=2, seeds=[1], draws=2)).half_width(1, 3) is not None


def test_seeds_with_one_draw_have_a_half_width_at_full_data_alone() -> None:
    planted = simulated(PLANTED, labels=4, seeds=[3], draws=1)
    found = components(planted, draws_matter=False)
    assert found.half_width(3, 1) == pytest.approx(
        student(8) * (found.seed.sd or 0) * (2 / 3) ** 0.5
    )
    assert components(planted).half_width(3, 1) is None
