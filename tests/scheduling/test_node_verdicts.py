"""Verdicts of `doctor` on what a node found, from a healthy node of GPUs to ones with a fault."""

from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config.site import Site, load_site
from hpc_xfer.scheduling.checks.check_result import CheckResult
from hpc_xfer.scheduling.checks.gpu_verdicts import is_built_for, oldest_driver
from hpc_xfer.scheduling.checks.node_verdicts import judged
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from hpc_xfer.system import provenance

GRID = """
name: x
pretrain:
  - {method: clip, arch: RN50, source: laion, samples: 100000, samples_seen: 100000, batch: 1024}
resources: {pretrain: {gpus: 8, minutes: 60, workers: 8}}
"""
WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]  # of torch 2.14 for CUDA 13


@pytest.fixture
def launched(tmp_path: Path) -> LaunchedStudy:
    """Pre-trainings on nodes of four GPUs."""
    grid = tmp_path / "x.yaml"
    grid.write_text(GRID)
    study = load_study(grid)
    slurm = {"gpus_per_node": 4, "gpu_option": "gpus-per-node"}
    site = Site.model_validate({"slurm": slurm})
    return LaunchedStudy(study, make_plan(study), Store(tmp_path / "store"), site, None)


def found(**changes: Any) -> dict[str, Any]:
    """What the check of a healthy node writes; `gpu` changes parts of its entry."""
    gpu = {
        "torch": "2.14.1+cu130", "cuda": "13.0", "driver": "580.65.06", "capability": [9, 0],
        "built_for": WHEEL,
        "convolution": {"dtype": "bfloat16", "teraflops": 512.3, "distance": 0.00165},
    }  # fmt: skip
    gpu |= changes.pop("gpu", {})
    whole = {
        "host": "n1", "node": "n1", "ranks": 8, "nodes": 2, "device": "cuda",
        "packages": provenance.packages(), "code": provenance.code(),
        "gpus": ["NVIDIA H100 80GB HBM3"] * 4, "gpu_missing": "", "gpu": gpu, "mps": False,
        "temporary": "/tmp", "temporary_free": 10**12, "shared_memory_free": 5 * 10**11,
        "all_reduce_bus_gigabytes_per_second": 40.0, "data": {},
    }  # fmt: skip
    return whole | changes


def verdicts(launched: LaunchedStudy, told: dict[str, Any]) -> dict[str, CheckResult]:
    return {each.what: each for each in judged(launched, "pretrain", 8, told)}


def test_a_healthy_node_has_only_good_verdicts(launched: LaunchedStudy) -> None:
    all_ = verdicts(launched, found())
    assert all(each.well for each in all_.values())
    assert {name: all_[f"pretrain {name}"].found for name in ("driver", "convolution", "GPUs")} == {
        "driver": "580.65.06; torch 2.14.1+cu130 (CUDA 13.0) needs 580 or newer",
        "convolution": "512 TFLOP/s in bfloat16, 0.17% from the result of the CPU",
        "GPUs": "4 visible to a process: NVIDIA H100 80GB HBM3",
    }


@pytest.mark.parametrize(
    ("changes", "what", "words"),
    [
        ({"gpu": {"driver": "535.104.05"}}, "driver", "535.104.05; torch 2.14.1+cu130 (CUDA 13.0)"),
        ({"gpu": {"capability": [7, 0]}}, "architecture", "compute capability 7.0; torch is built"),
        ({"gpu": {"convolution": {"dtype": "bfloat16", "teraflops": 500.0, "distance": 0.4}}},
         "convolution", "500 TFLOP/s in bfloat16, 40% from the result of the CPU"),
        ({"gpu": {"convolution": {"error": "CUDA error: no kernel image"}}},
         "convolution", "failed: CUDA error: no kernel image"),
        ({"gpus": ["A100"]}, "GPUs", "1 visible to a process: A100"),
        ({"gpus": [], "device": "cpu", "gpu_missing": "n1: given HPC_XFER_DEVICE=cuda, but"},
         "GPUs", "n1: given HPC_XFER_DEVICE=cuda, but"),
        ({"shared_memory_free": 64 * 10**6}, "shared memory", "64 MB free in /dev/shm, about "),
        ({"shared_memory_free": None}, "shared memory", "/dev/shm is missing"),
        ({"all_reduce_bus_gigabytes_per_second": 1.2}, "all-reduce",
         "8 ranks on 2 nodes, 1.20 GB/s of bus bandwidth"),
        ({"all_reduce_bus_gigabytes_per_second": 12.0, "nodes": 1}, "all-reduce",
         "8 ranks on 1 node, 12.00 GB/s of bus bandwidth"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_fault_is_named_with_a_way_out(
    changes: dict[str, Any], what: str, words: str, launched: LaunchedStudy
) -> None:
    all_ = verdicts(launched, found(**changes))
    verdict = all_.pop(f"pretrain {what}")
    assert not verdict.well and verdict.found.startswith(words) and verdict.advice
    assert all(each.well for each in all_.values())


def test_a_site_takes_the_key_that_leaves_a_wrong_gpu_out(
    launched: LaunchedStudy, tmp_path: Path
) -> None:
    wrong = found(gpu={"convolution": {"dtype": "bfloat16", "teraflops": 500.0, "distance": 0.4}})
    assert "`exclude: [NODE]`" in verdicts(launched, wrong)["pretrain convolution"].advice
    file = tmp_path / "site.yaml"
    file.write_text("slurm: {exclude: [n1]}\n")
    assert load_site(file).slurm.exclude == ("n1",)


def test_who_asks_for_the_cpu_hears_nothing_of_gpus(launched: LaunchedStudy) -> None:
    told = found(gpus=[], device="cpu", all_reduce_bus_gigabytes_per_second=0.8)
    all_ = verdicts(launched, told)
    assert all(each.well for each in all_.values())
    assert all_["pretrain GPUs"].found == "none is used: HPC_XFER_DEVICE is cpu"


def test_a_node_needs_no_shared_memory_where_nothing_is_loaded_beside(
    launched: LaunchedStudy,
) -> None:
    all_ = {each.what: each for each in judged(launched, "finetune", 1, found(
        shared_memory_free=1000, ranks=1, nodes=1, all_reduce_bus_gigabytes_per_second=None,
    ))}  # fmt: skip
    assert all_["finetune shared memory"].well


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((8, 9), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80", "sm_86"], False),
        ((9, 0), ["sm_80", "compute_80"], True),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90a", "compute_90a"], False),
        ((10, 3), ["sm_100f"], True),
        ((12, 0), WHEEL, True),
        ((7, 0), WHEEL, False),
        ((9, 0), ["gfx90a"], False),
    ],
)
def test_code_runs_on_its_major_version_and_ptx_on_all_later_ones(
    capability: tuple[int, int], built_for: list[str], runs: bool
) -> None:
    assert is_built_for(capability, built_for) == runs


def test_the_oldest_driver_follows_from_the_major_version_of_cuda() -> None:
    assert [oldest_driver(cuda) for cuda in ("11.8", "12.8", "13.0", "14.0")] == [
        (450, 80, 2), (525, 60, 13), (580,), None,
    ]  # fmt: skip
