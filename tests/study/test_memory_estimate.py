"""Memory that fine-tunings need, and the warning where a GPU or a node has less."""

from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config.finetune_recipes import FullFinetune, LogisticProbe
from hpc_xfer.config.recipes import Clip
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.cost_estimate import ImageCounts
from hpc_xfer.study.memory_estimate import memory_need, memory_warnings, pretrain_memory
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
    alone = GRID.replace("mode: [ft, lp], tune: {lr: [1e-4, 1e-3]}", "mode: [lp]")
    probes = make(tmp_path, alone)[1]  # no library of a GPU counts, which would be 2.5 GB more
    assert list(memory_warnings(probes, Slurm(gpu_option="none", memory_per_gpu=8))) == []


def needs(batch: int, arch: str = "RN50", recomputed: bool = False, **changes: object) -> float:
    """GB of a GPU of eight, in bf16."""
    values: dict[str, Any] = {"source": "laion", "samples": 10**6, "samples_seen": 10**6}
    recipe = Clip(arch=arch, batch=8 * batch, precision="bf16", **{**values, **changes})
    resources = PretrainResources(gpus=8, activation_checkpointing=recomputed)
    return pretrain_memory(recipe, resources).device


def test_a_pretraining_needs_what_torch_counts_for_its_tensors() -> None:
    """9.6 GiB at 128 samples a GPU and 17.9 at 256, by fake tensors."""
    assert needs(128) == pytest.approx(9.6 * 1.074, rel=0.25)
    assert needs(256) == pytest.approx(17.9 * 1.074, rel=0.25)


def test_what_is_not_kept_needs_no_memory() -> None:
    whole = needs(512, "ViT-B-32")
    assert needs(512, "ViT-B-32", accumulate=4) < 0.5 * whole
    assert needs(512, "ViT-B-32", recomputed=True) < 0.5 * whole
    assert needs(512, "ViT-B-32", patch_dropout=0.5) < 0.9 * whole
    for lock in ("image", "text"):
        assert needs(512, "ViT-B-32", lock=lock, init="openai") < 0.8 * whole


def test_a_pretraining_that_exceeds_a_gpu_is_named(tmp_path: Path) -> None:
    grid = """
name: large
pretrain:
  - {method: clip, arch: RN50, source: laion, samples: 1e6, epochs: 1, batch: 4096, lock: image,
     init: openai}
  - {method: simclr, arch: RN50, source: laion, samples: 1e6, epochs: 1, batch: 4096}
resources: {pretrain: {gpus: 4}}
"""
    plan = make(tmp_path, grid)[1]
    (line,) = memory_warnings(plan, Slurm(gpu_memory=80))
    assert line.startswith("simclr of RN50 with batch 4096 on 4 GPUs needs about ")
    assert line.endswith("but gpu_memory is 80; raise `accumulate` or resources.pretrain.gpus")
