"""Memory that fine-tunings need, and the warning where a GPU or a node has less."""

from pathlib import Path

import pytest

from hpc_xfer.config.finetune_recipes import FullFinetune, LogisticProbe
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.cost_estimate import ImageCounts
from hpc_xfer.study.memory_estimate import memory_need, memory_warnings
from tests.fabricated import make

PETS = ImageCounts(train=3_680, test=3_669, classes=37)
TRIAL = FullFinetune(dataset="pets", shots=5, draw=0, lr=1e-3)

GRID = """
name: large
pretrain: [{method: scratch, arch: RN50}]
finetune: {datasets: [pets], shots: [5], draws: 1, mode: [ft, lp], tune: {lr: [1e-4, 1e-3]}}
"""


def test_a_resnet50_trains_in_as_much_memory_as_is_known_of_it() -> None:
    need = memory_need(TRIAL.model_copy(update={"batch": 256}), "torchvision/resnet50", PETS)
    assert need.device == pytest.approx(23, rel=0.15)


def test_memory_grows_with_the_batch_and_halves_with_the_precision() -> None:
    small, large = (
        memory_need(TRIAL.model_copy(update={"batch": n}), "ViT-B-32", PETS) for n in (64, 512)
    )
    assert large.device > 2 * small.device
    half = TRIAL.model_copy(update={"batch": 512, "precision": "bf16"})
    assert memory_need(half, "ViT-B-32", PETS).device < 0.7 * large.device


def test_a_probe_holds_the_features_of_its_data_set() -> None:
    probe = LogisticProbe(dataset="imagenet", shots="full", draw=0)
    small = memory_need(probe, "torchvision/resnet50", PETS)
    large = memory_need(probe, "torchvision/resnet50", ImageCounts(1_281_167, 50_000, 1000))
    assert large.device - small.device > 15
    assert large.host - small.host > 10


def test_what_exceeds_a_gpu_or_a_node_is_named_with_the_way_out(tmp_path: Path) -> None:
    plan = make(tmp_path, GRID)[1]
    assert list(memory_warnings(plan, Slurm())) == []
    assert list(memory_warnings(plan, Slurm(gpu_memory=80, memory_per_gpu=64))) == []
    gpu, host = memory_warnings(plan, Slurm(gpu_memory=8, memory_per_gpu=2))
    assert gpu.startswith("ft of RN50 on pets with batch 128 needs about ")
    assert gpu.endswith(" GB, but gpu_memory is 8; lower `batch`")
    assert host.endswith(" GB, but memory_per_gpu is 2; raise it in the site file")


def test_without_gpus_all_of_it_is_memory_of_the_node(tmp_path: Path) -> None:
    plan = make(tmp_path, GRID)[1]
    lines = list(memory_warnings(plan, Slurm(gpu_option="none", gpu_memory=1, memory_per_gpu=10)))
    assert len(lines) == 1
    assert "memory_per_gpu is 10" in lines[0]
