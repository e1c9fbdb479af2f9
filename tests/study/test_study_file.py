"""A study file becomes recipes and trials."""

import time
from pathlib import Path

from hpc_xfer.config.finetune_recipes import FullFinetune
from hpc_xfer.config.recipes import Clip, SimCLR
from hpc_xfer.study.plan import Run
from tests.study.grid_texts import CLIP, finetune, load, pretrain, pretrain_refusal


def test_lists_are_axes_and_a_block_expands_to_their_product(tmp_path: Path) -> None:
    block = CLIP.replace("8000", "[1_000, 1e4]").replace("epochs: 2", "epochs: 2, seed: [0, 1, 2]")
    recipes = pretrain(tmp_path, block).pretrains
    assert [(r.samples, r.seed) for r in recipes if isinstance(r, Clip)] == [
        (1000, 0), (1000, 1), (1000, 2), (10000, 0), (10000, 1), (10000, 2),
    ]  # fmt: skip


def test_batch_norm_per_gpu_takes_the_number_of_gpus_into_the_recipe(tmp_path: Path) -> None:
    """Since it decides the result: with another number it is another run."""
    block = CLIP.replace("epochs", "batchnorm: [global, per-gpu], epochs")
    ids = {}
    for gpus in (4, 8):
        grid = f"name: x\npretrain: [{block}]\nresources: {{pretrain: {{gpus: {gpus}}}}}\n"
        plain, own = load(tmp_path, grid).pretrains
        assert isinstance(plain, Clip) and isinstance(own, Clip)
        assert (plain.batchnorm, plain.ranks) == (None, None)
        assert (own.batchnorm, own.ranks) == ("per-gpu", gpus)
        ids[gpus] = [Run("pretrain", recipe).id for recipe in (plain, own)]
    assert ids[4][0] == ids[8][0] == Run("pretrain", pretrain(tmp_path, CLIP).pretrains[0]).id
    assert ids[4][1] != ids[8][1]


def test_the_number_of_ranks_is_no_key_of_a_grid(tmp_path: Path) -> None:
    block = CLIP.replace("epochs", "batchnorm: per-gpu, ranks: 4, epochs")
    assert pretrain_refusal(tmp_path, block) == [
        "a.yaml:3: pretrain.0.ranks: is resources.pretrain.gpus where batchnorm is per-gpu; "
        "leave it out"
    ]


def test_a_setting_that_is_a_list_is_no_axis_and_a_list_of_such_is_one(tmp_path: Path) -> None:
    one = pretrain(tmp_path, CLIP.replace("epochs", "betas: [0.9, 0.98], epochs"))
    two = pretrain(tmp_path, CLIP.replace("epochs", "betas: [[0.9, 0.98], [0.9, 0.999]], epochs"))
    assert [r.betas for r in one.pretrains if isinstance(r, Clip)] == [(0.9, 0.98)]
    assert [r.betas for r in two.pretrains if isinstance(r, Clip)] == [(0.9, 0.98), (0.9, 0.999)]
    crops = pretrain(tmp_path, CLIP.replace("epochs", "crop: [{scale: [0.5, 1]}, {}], epochs"))
    scales = [r.crop.scale for r in crops.pretrains if isinstance(r, Clip)]
    assert scales == [(0.5, 1.0), (0.9, 1.0)]


def test_epochs_is_a_way_to_say_samples_seen(tmp_path: Path) -> None:
    [by_epochs] = pretrain(tmp_path, CLIP).pretrains
    [by_samples] = pretrain(tmp_path, CLIP.replace("epochs: 2", "samples_seen: 16000")).pretrains
    assert by_epochs == by_samples
    [half] = pretrain(tmp_path, CLIP.replace("epochs: 2", "epochs: 0.5")).pretrains
    assert isinstance(half, Clip) and half.samples_seen == 4000


def test_methods_bring_their_own_defaults(tmp_path: Path) -> None:
    [recipe] = pretrain(tmp_path, CLIP.replace("clip", "simclr")).pretrains
    assert isinstance(recipe, SimCLR)
    assert (recipe.betas, recipe.temperature, recipe.flip) == ((0.9, 0.98), 0.1, True)


def test_trials_are_data_sets_by_modes_by_shots_by_draws_by_tuned_values(tmp_path: Path) -> None:
    text = "{datasets: [a, b], shots: [1, full], draws: {1: 3, full: 1}, mode: [ft, lp], "
    text += "epochs: {1: 30, full: 2}, tune: {lr: [1e-4, 1e-3], weight_decay: [0, 0.1]}}"
    found = finetune(tmp_path, text)
    trained = [trial for trial in found.trials if isinstance(trial, FullFinetune)]
    assert len(trained) == 2 * (3 + 1) * 4
    assert {(t.shots, t.epochs) for t in trained} == {(1, 30), ("full", 2)}
    assert len(found.trials) - len(trained) == 2 * (3 + 1)  # a probe brings its own path
    assert found.tuned == ("lr", "weight_decay", "l2")


def test_finetune_may_be_a_list_of_blocks(tmp_path: Path) -> None:
    text = "[{datasets: [a], shots: [1], lr: 1e-3}, {datasets: [b], shots: [5], lr: 1, draws: 1}]"
    trials = finetune(tmp_path, text).trials
    assert [(t.dataset, t.shots, t.draw) for t in trials] == [
        ("a", 1, 0), ("a", 1, 1), ("a", 1, 2), ("b", 5, 0),
    ]  # fmt: skip


def test_a_study_without_fine_tuning_is_fine(tmp_path: Path) -> None:
    assert pretrain(tmp_path, CLIP).trials == ()


def test_thousands_of_trials_are_read_in_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    text = "{datasets: [a, b, c, d], shots: [1, 5, 10, 20, full], draws: 100, lr: 1e-3}"
    assert len(finetune(tmp_path, text).trials) == 2000
    assert time.process_time() - start < 5
