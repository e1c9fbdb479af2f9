"""How long a fine-tuning takes, before one was ever run."""

from dataclasses import replace
from typing import Any

import pytest

from hpc_xfer.config.downstream_datasets import PACKAGED
from hpc_xfer.config.finetune_recipes import (
    KNN,
    Finetune,
    FullFinetune,
    LogisticProbe,
    ProbeThenFinetune,
    RidgeProbe,
    ZeroShot,
)
from hpc_xfer.config.recipes import Scratch
from hpc_xfer.config.resources import FinetuneResources, Resources
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.cost_estimate import (
    ImageCounts,
    RunCosts,
    Speed,
    cost_kind,
    counts_of,
    speed_here,
    speed_on_slurm,
)

PARENT = Scratch(arch="ViT-B-32")
PETS = ImageCounts(train=3_680, test=3_669, classes=37)
COSTS = RunCosts({"pets": PETS}, Speed(10e12, cores=8, loaders=2))
HERE: dict[str, Any] = {"dataset": "pets", "shots": 5, "draw": 0}
TRAINED = FullFinetune(**HERE, lr=1e-3, epochs=10)


def seconds(recipe: Finetune, costs: RunCosts = COSTS) -> float:
    return costs.seconds(recipe, PARENT)


def test_a_full_fine_tuning_takes_its_epochs_of_three_passes_and_one_evaluation() -> None:
    recipe = TRAINED.model_copy(update={"shots": "full", "epochs": 100})
    forward = 8.9e9 / 10e12
    loading = (1 / 180) / 2  # two processes, RandAugment included
    held_out = 736  # of 3,680, as the owners made no validation set
    assert -(-(PETS.train - held_out) // 128) == 23
    training = 100 * 23 * 128 * (3 * forward + loading)
    assert seconds(recipe) == pytest.approx(2 * training, rel=0.1)


def test_cost_grows_with_shots_epochs_and_classes_and_falls_with_speed() -> None:
    more: list[dict[str, Any]] = [{"shots": 20}, {"epochs": 40}, {"dataset": "many"}]
    costs = replace(COSTS, images={"pets": PETS, "many": replace(PETS, classes=370)})
    for change in more:
        assert seconds(TRAINED.model_copy(update=change), costs) > 1.1 * seconds(TRAINED, costs)
    assert seconds(TRAINED, replace(COSTS, speed=replace(COSTS.speed, flops=1e12))) > seconds(
        TRAINED
    )


def test_a_rehearsal_of_two_steps_is_short() -> None:
    short = seconds(TRAINED.model_copy(update={"max_steps": 2}))
    assert short < 0.5 * seconds(TRAINED)


def test_choosing_the_epoch_on_test_measures_every_epoch() -> None:
    chosen = TRAINED.model_copy(update={"select": "test"})
    assert seconds(chosen) > 2 * seconds(TRAINED)


def test_what_measures_frozen_features_costs_less_than_training() -> None:
    probes = [KNN(**HERE), RidgeProbe(**HERE), LogisticProbe(**HERE), ZeroShot(dataset="pets")]
    full = TRAINED.model_copy(update={"epochs": 128})
    assert all(seconds(probe) < seconds(full) for probe in probes)
    both = ProbeThenFinetune(**HERE, lr=1e-3, epochs=10)
    assert seconds(TRAINED) < seconds(both)


def test_features_are_shared_by_a_pack_but_few_shots_of_training_need_none() -> None:
    probe, trained = KNN(**HERE), TRAINED
    assert COSTS.shared_seconds(trained, PARENT) < COSTS.shared_seconds(probe, PARENT)


def test_images_in_memory_are_not_decoded() -> None:
    packaged = counts_of(PACKAGED["digits"])
    assert packaged == ImageCounts(898, 899, 10, 1, in_files=False)
    files = RunCosts({"digits": replace(packaged, in_files=True)}, COSTS.speed)
    memory = RunCosts({"digits": packaged}, COSTS.speed)
    recipe = TRAINED.model_copy(update={"dataset": "digits"})
    assert seconds(recipe, files) > seconds(recipe, memory)


def test_a_data_set_that_nobody_counted_gets_an_assumed_size_and_is_named() -> None:
    recipe = TRAINED.model_copy(update={"dataset": "unknown"})
    assert seconds(recipe) > 0
    assert COSTS.uncounted(["unknown", "pets", "unknown"]) == ["unknown"]


def test_finished_runs_of_the_kind_are_believed_more_than_the_estimate() -> None:
    known = replace(COSTS, measured={cost_kind(TRAINED, PARENT): 100.0})
    assert seconds(TRAINED, known) == 150.5
    other = TRAINED.model_copy(update={"shots": 10})
    assert seconds(other, known) == seconds(other)


def test_costs_survive_their_file() -> None:
    assert RunCosts.from_json(COSTS.as_json()) == COSTS


@pytest.mark.parametrize("content", [None, {}, {"images": 3}, {"images": {}, "speed": {"x": 1}}])
def test_what_another_version_wrote_is_not_an_estimate(content: Any) -> None:
    assert RunCosts.from_json(content) is None


def test_speed_is_that_of_the_site_else_an_assumption() -> None:
    resources = Resources()
    assert speed_on_slurm(Slurm(cpus_per_gpu=6), resources) == Speed(10e12, 6, loaders=5)
    assert speed_on_slurm(Slurm(teraflops=40), resources).flops == 40e12
    cpus = speed_on_slurm(Slurm(gpu_option="none"), resources)
    assert (cpus.flops, cpus.has_gpu) == (0.02e12, False)
    assert speed_on_slurm(Slurm(environment={"HPC_XFER_DEVICE": "cpu"}), resources) == cpus
    assert speed_here(2, 16, None, resources) == Speed(10e12, 8, loaders=7)
    assert speed_here(0, 16, None, resources) == Speed(0.02e12, 1, has_gpu=False)


def test_images_that_memory_has_room_for_are_decoded_once() -> None:
    """For each epoch that is measured on the test set, and 20,000 images of 224 px are 3 GB."""
    many = {"many": ImageCounts(train=40_000, test=20_000, classes=100)}
    recipe = TRAINED.model_copy(update={"dataset": "many", "select": "test", "shots": "full"})
    few, much = (
        RunCosts(many, speed_on_slurm(Slurm(cpus_per_gpu=8, memory_per_gpu=gb), Resources()))
        for gb in (16, 128)
    )
    assert not few.speed.kept_bytes > 1 << 30 and much.speed.kept_bytes == 8e9
    assert seconds(recipe, few) > seconds(recipe, much)


def test_loading_processes_are_those_of_the_grid_else_of_the_cores() -> None:
    slurm = Slurm(cpus_per_gpu=8)
    shared = Resources(finetune=FinetuneResources(per_gpu=4))
    asked = Resources(finetune=FinetuneResources(workers=3))
    found = [speed_on_slurm(slurm, each).loaders for each in (Resources(), shared, asked)]
    assert found == [7, 1, 3]
