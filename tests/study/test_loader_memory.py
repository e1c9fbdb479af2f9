"""Shared memory that loading processes need, and what a plan says of it."""

from pathlib import Path

from hpc_xfer.config.site import Slurm
from hpc_xfer.study.loader_memory import (
    batch_bytes,
    loading_notes,
    most_on_a_node,
    shared_memory_needed,
)
from hpc_xfer.study.plan import Plan
from tests.fabricated import make

GRID = """
name: large
pretrain:
  - {method: METHOD, arch: RN50, source: photos, samples: 4096, epochs: 1, batch: 1024}
finetune: {datasets: [pets], shots: [5], draws: 1, mode: [ft, lp], batch: 64, lr: 1e-3}
resources: {pretrain: {gpus: 8, workers: WORKERS}, finetune: {workers: WORKERS}}
"""
IMAGE = 3 * 224 * 224


def plan(folder: Path, method: str = "clip", workers: str = "null") -> Plan:
    return make(folder, GRID.replace("METHOD", method).replace("WORKERS", workers))[1]


def test_six_batches_of_each_rank_are_on_their_way() -> None:
    assert shared_memory_needed(ranks=8, workers=3, batch_bytes=1000) == 48_000
    assert shared_memory_needed(ranks=8, workers=0, batch_bytes=1000) == 0  # loads by itself


def test_a_rank_gets_its_part_of_the_batch_and_two_views_are_twice_as_much(tmp_path: Path) -> None:
    clip, simclr = (plan(tmp_path, method).of("pretrain")[0] for method in ("clip", "simclr"))
    assert batch_bytes(clip, 8) == 128 * (IMAGE + 77 * 8)
    assert 1.9 < batch_bytes(simclr, 8) / batch_bytes(clip, 8) < 2
    ft, lp = plan(tmp_path).of("finetune")
    assert (batch_bytes(ft), batch_bytes(lp)) == (64 * IMAGE, 0)  # a probe trains on features


def test_a_node_needs_what_its_largest_kind_of_run_needs(tmp_path: Path) -> None:
    clip = plan(tmp_path)
    per_rank = 6 * batch_bytes(clip.of("pretrain")[0], 8)
    assert most_on_a_node(clip, per_node=4) == 4 * per_rank
    assert most_on_a_node(clip, per_node=8) == 8 * per_rank
    assert most_on_a_node(plan(tmp_path, workers="0"), per_node=8) == 0


def test_the_plan_tells_the_cpus_of_a_gpu_and_shared_memory_if_it_is_much(tmp_path: Path) -> None:
    clip = plan(tmp_path)
    assert list(loading_notes(clip, Slurm(gpus_per_node=8, cpus_per_gpu=12))) == [
        "CPUs for each GPU (cpus_per_gpu): 12",
        "loading processes need about 929 MB of /dev/shm on a node; a container has 64 MB unless "
        "it is started with more",
    ]
    assert list(loading_notes(clip, Slurm())) == [
        "CPUs for each GPU (cpus_per_gpu): 1, as Slurm did not say what a node has"
    ]
    assert list(loading_notes(plan(tmp_path, workers="0"), Slurm(gpu_option="none"))) == []
