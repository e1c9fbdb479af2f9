"""Blocks of `finetune`: modes with their own settings, draws and choices."""

from collections import Counter
from typing import Any

import pytest

from hpc_xfer.config.finetune_recipes import (
    KNN,
    AdamWProbe,
    FullFinetune,
    LogisticProbe,
    ProbeThenFinetune,
    RidgeProbe,
    ZeroShot,
)
from hpc_xfer.study.grid_blocks.finetune_grid import all_trials

BLOCK: dict[str, Any] = {"datasets": ["a"], "shots": [1, "full"], "draws": 10}


def expanded(protocol: str = "standard", **more: Any) -> list[Any]:
    trials, _, errors, _ = all_trials(BLOCK | more, protocol)
    assert errors == []
    return trials


def refused(protocol: str = "standard", **more: Any) -> dict[str, str]:
    _, _, errors, _ = all_trials(BLOCK | more, protocol)
    return {".".join(map(str, loc[1:])): why for loc, why in errors}


def test_every_mode_has_its_runs() -> None:
    modes = ["ft", "lp", "lp-ft", "zeroshot", "knn"]
    found = expanded(mode=modes, tune={"lr": [1e-4, 1e-3]})
    assert Counter(trial.mode for trial in found) == {
        "ft": 2 * 10 * 2,  # shots, draws, learning rates
        "lp-ft": 2 * 10 * 2,
        "lp": 10 + 1,  # at full all draws train on the same images
        "knn": 10 + 1,
        "zeroshot": 1,  # no label is used
    }
    kinds = {FullFinetune, ProbeThenFinetune, LogisticProbe, ZeroShot, KNN}
    assert {type(trial) for trial in found} == kinds


def test_settings_go_to_the_modes_that_have_them() -> None:
    found = expanded(mode=["ft", "lp"], lr=1e-3, epochs={"1": 7, "full": 2}, l2=0.5)
    assert {t.epochs for t in found if t.mode == "ft"} == {7, 2}
    assert {t.l2 for t in found if t.mode == "lp"} == {0.5}


def test_solvers_of_the_probe() -> None:
    assert {type(t) for t in expanded(mode=["lp"], solver="ridge")} == {RidgeProbe}
    assert {type(t) for t in expanded(mode=["lp"], solver="adamw", lr=1)} == {AdamWProbe}


def test_what_is_chosen_is_named() -> None:
    assert all_trials(BLOCK | {"mode": ["lp", "knn"]})[1] == ("l2", "k")
    assert all_trials(BLOCK | {"mode": ["lp"], "l2": 1.0})[1] == ()


def test_zero_shot_in_two_blocks_is_one_run() -> None:
    block = {"datasets": ["a"], "mode": ["zeroshot"]}
    trials, _, errors, _ = all_trials([block | {"shots": [1]}, block | {"shots": [5]}])
    assert (len(trials), errors) == (1, [])


def test_version_0_1_validated_on_a_fixed_fifth() -> None:
    [trial, *_] = expanded("0.1", mode=["ft"], lr=1e-3)
    assert (trial.validation, trial.val_seed, trial.min_steps) == ("fraction", 0, None)
    assert {type(t) for t in expanded("0.1", mode=["lp"], lr=1e-3)} == {AdamWProbe}


def test_the_protocol_of_the_paper_chooses_on_the_test_set() -> None:
    [trial, *_] = expanded("paper", tune={"lr": [1e-4, 1e-3]})
    assert (trial.select, trial.epochs, trial.batch, trial.warmup_steps) == ("test", 128, 128, 500)
    assert (trial.warmup_cap, trial.decay_all, trial.randaugment) == (False, True, "increasing")


@pytest.mark.parametrize(
    ("block", "place", "why"),
    [
        (
            {"mode": ["lp"], "lr": 1},
            "lr",
            "is not a setting of lp, but of ft, lp with",
        ),
        (
            {"mode": ["lp"], "tune": {"lr": [1, 2]}},
            "tune.lr",
            "is not a setting of lp, which",
        ),
        ({"mode": ["ft"], "lr": 1, "solver": "ridge"}, "solver", "belongs to mode lp"),
        ({"mode": ["lp"], "solver": "lasso"}, "solver", "unknown solver 'lasso'; the solvers are:"),
        ({"mode": ["ft"], "lr": 1, "k": 3}, "k", "is not a setting of ft, but of knn; remove it"),
        ({"mode": ["knns"]}, "mode.0", "unknown mode 'knns'; did you mean 'knn'?"),
        ({"lr": 1, "recalibrate": True}, "recalibrate", "is called batch_norm now; write `batch_"),
        (
            {"validation": "none", "tune": {"lr": [1, 2]}},
            "tune.lr",
            "needs a validation to choose by; write `lr: ...`, one value",
        ),
        ({"mode": ["knn"], "validation": "none"}, "", "validation is none, so there is no choice"),
        ({"lr": 1, "validation": "loo"}, "", "validation: loo has a closed form for mode lp with"),
    ],
)
def test_a_wrong_block_gets_one_sentence(block: dict[str, Any], place: str, why: str) -> None:
    found = refused(**block)
    assert list(found) == [place]
    assert found[place].startswith(why)


def test_the_paper_had_no_probe() -> None:
    assert "mode.0" in refused("paper", mode=["lp"])
