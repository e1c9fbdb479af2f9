"""Recipes of fine-tuning: one class per mode and solver, and what each refuses."""

import json

import pytest
from pydantic import ValidationError

from hpc_xfer.config.finetune_recipes import (
    KNN,
    MODES,
    SOLVERS,
    AdamWProbe,
    Finetune,
    FullFinetune,
    L2Path,
    LogisticProbe,
    ProbeThenFinetune,
    RidgeProbe,
    ZeroShot,
    finetune_class,
)
from hpc_xfer.config.recipe_specs import dump_finetune, read_finetune

RECIPES: list[Finetune] = [
    FullFinetune(dataset="pets", shots=5, draw=1, lr=1e-3, grad_clip=None, min_steps=None),
    ProbeThenFinetune(dataset="pets", shots=5, draw=1, lr=1e-3, randaugment="increasing"),
    FullFinetune(dataset="pets", shots="full", draw=0, lr=1, batch_norm="frozen", val_seed=0),
    AdamWProbe(dataset="pets", shots=5, draw=1, lr=1e-3, batch_norm="recalibrate"),
    AdamWProbe(dataset="pets", shots=5, draw=1, lr=1e-3, validation="fraction", val_seed=0),
    LogisticProbe(dataset="pets", shots=1, draw=0),
    LogisticProbe(dataset="pets", shots=1, draw=0, validation="none", l2=0.1),
    RidgeProbe(dataset="pets", shots=20, draw=9, validation="loo"),
    KNN(dataset="pets", shots=20, draw=9, neighbors=(1, 3)),
    ZeroShot(dataset="pets"),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_survives_writing_and_reading(recipe: Finetune) -> None:
    spec = json.loads(json.dumps(dump_finetune(recipe)))
    kind, values = read_finetune(spec)
    again = kind.model_validate_json(json.dumps(values))
    assert again == recipe
    assert dump_finetune(again) == spec


def test_a_recipe_of_version_0_1_is_written_as_that_version_wrote_it() -> None:
    older = {"validation": "fraction", "val_seed": 0, "min_steps": None}
    trial = FullFinetune(dataset="pets", shots=5, draw=0, lr=1e-3).model_copy(update=older)
    spec = dump_finetune(trial)
    assert spec["recalibrate"] is False
    assert not {"validation", "batch_norm", "select"} & set(spec)
    assert list(spec)[:5] == ["dataset", "shots", "draw", "mode", "lr"]


def test_each_mode_and_solver_has_a_class_that_says_so() -> None:
    for mode in MODES:
        assert mode in str(finetune_class(mode).model_fields["mode"].annotation)
    for solver in SOLVERS:
        assert finetune_class("lp", solver).model_fields["solver"].default == solver


def test_a_path_has_equal_ratios_from_the_largest_value_down() -> None:
    values = L2Path(low=1e-4, high=1.0, count=5).values
    assert values == pytest.approx((1.0, 0.1, 0.01, 1e-3, 1e-4))
    assert len(LogisticProbe(dataset="a", shots=1, draw=0).path_values) == 45


def test_one_value_stands_for_the_path() -> None:
    assert LogisticProbe(dataset="a", shots=1, draw=0, l2=0.5).path_values == (0.5,)
    assert KNN(dataset="a", shots=1, draw=0, k=3).path_values == (3,)


def test_without_validation_a_probe_needs_one_value() -> None:
    with pytest.raises(ValidationError, match=r"no choice along a path; give l2: \.\.\."):
        LogisticProbe(dataset="a", shots=1, draw=0, validation="none")
    with pytest.raises(ValidationError, match=r"no choice along a path; give k: \.\.\."):
        KNN(dataset="a", shots=1, draw=0, validation="none")


def test_leave_one_out_is_for_ridge_alone() -> None:
    with pytest.raises(ValidationError, match="mode lp with solver: ridge only"):
        LogisticProbe(dataset="a", shots=1, draw=0, validation="loo")


def test_settings_are_what_two_runs_must_share_to_be_trials_of_one_cell() -> None:
    one = FullFinetune(dataset="a", shots=1, draw=0, lr=1e-3, epochs=3)
    tuned = FullFinetune(dataset="b", shots=5, draw=2, lr=1e-2, epochs=9, snapshot=8)
    other = FullFinetune(dataset="a", shots=1, draw=0, lr=1e-3, head="zero")
    assert one.settings == tuned.settings != other.settings
