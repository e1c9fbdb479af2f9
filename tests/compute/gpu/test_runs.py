"""Whole runs on a GPU: records, resuming, features and probes, and what follows a failure."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.downstream.decoded_cache import CachePlaces
from hpc_xfer.compute.finetuning.cache import FinetuneCache
from hpc_xfer.compute.finetuning.feature_cache import Extraction
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.run_pack import PackRunner
from hpc_xfer.config.site import Site
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.store.pack_file import LoadedPack
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from hpc_xfer.system import gpu_files
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.compiler import compiler_warnings, needs_compiler
from tests.compute.gpu.devices import Choice
from tests.conftest import ROOT

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")


@pytest.mark.parametrize("method", ["clip", "simclr", "supervised"])
def test_a_record_names_the_gpu_and_what_decides_its_bits(
    method: str, tmp_path: Path, shards: Path
) -> None:
    folder = tiny.finished(Store(tmp_path), tiny.pretraining(method, precision="bf16"), shards)
    record = tiny.record(folder)
    source = record["provenance"]
    assert record["metrics"]["steps"] == 8 and record["metrics"]["samples_per_second"] > 0
    assert (source["device"], source["gpu"]) == ("cuda", torch.cuda.get_device_name())
    assert source["cudnn"] == torch.backends.cudnn.version()
    assert source["driver"] == gpu_files.driver_version()
    assert source["cuda"] == (torch.version.cuda or torch.version.hip)


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"precision": "fp16", "accumulate": 2}])
def test_a_stopped_run_is_resumed(changes: dict[str, Any], tmp_path: Path, shards: Path) -> None:
    run = tiny.pretraining("clip", **changes)
    how: dict[str, Any] = {"activation_checkpointing": True}
    events = tiny.execute(Store(tmp_path), run, shards, stop=tiny.StopAfter(3), **how)
    assert events[-1]["event"] == "interrupted"
    folder = tiny.finished(Store(tmp_path), run, shards, **how)
    assert tiny.record(folder)["metrics"]["steps"] == 8


@needs_compiler
@compiler_warnings
def test_a_compiled_run_is_resumed(tmp_path: Path, shards: Path) -> None:
    run = tiny.pretraining("clip", precision="bf16")
    events = tiny.execute(Store(tmp_path), run, shards, stop=tiny.StopAfter(3), compile=True)
    assert events[-1]["event"] == "interrupted"
    folder = tiny.finished(Store(tmp_path), run, shards, compile=True)
    assert tiny.record(folder)["metrics"]["steps"] == 8


@pytest.mark.parametrize(
    "recipe",
    [
        {"mode": "lp"},
        {"mode": "lp", "solver": "ridge"},
        {"mode": "knn"},
        {"mode": "ft"},
        {"mode": "lp", "solver": "adamw"},
    ],
    ids=lambda recipe: "-".join(recipe.values()),
)
def test_a_finetuning_gives_what_the_cpu_gives(
    recipe: dict[str, str], tmp_path: Path, shards: Path, use: Choice
) -> None:
    """Features differ by rounding, which moves the few images that lie between two classes.

    Those of an untrained encoder are within 1e-6 of each other: rounding chooses the neighbors.
    """
    hits = []
    parent = tiny.pretraining("supervised", samples_seen=1024, lr=1e-2)
    use("cpu")
    tiny.finished(Store(tmp_path / "cpu"), parent, shards)
    shutil.copytree(tmp_path / "cpu", tmp_path / "cuda")
    for device in ("cpu", "cuda"):
        use(device)
        folder = tiny.finished(Store(tmp_path / device), tiny.finetuning(parent, **recipe))
        assert tiny.record(folder)["provenance"]["device"] == device
        hits.append(np.unpackbits(np.load(folder.hits), axis=-1))
    assert hits[0].shape == hits[1].shape
    assert (hits[0] != hits[1]).mean() < 0.02


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_close_to_those_of_the_cpu(precision: str, tmp_path: Path) -> None:
    towers = encoders.build(tiny.ARCH, seed=0, with_text=False)
    encoders.save(tmp_path / "encoder.pt", tiny.ARCH, towers)
    found = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        cache = FinetuneCache(CachePlaces(StoreDir(tmp_path)))
        data = cache.dataset("digits", None, None)
        features = cache.features(
            cache.parent(tmp_path / "encoder.pt"), data, Extraction(device, precision)
        )
        found.append(features.test.all(Liveness()))
    assert (found[0] - found[1]).abs().max() < (1e-5 if precision == "fp32" else 0.05)
    assert len([*tmp_path.glob("cache/features/*/array")]) == 2


def executed(store: Store, runs: tuple[Run, ...], shards: Path) -> list[dict[str, Any]]:
    """The events of one worker that gets these runs as one pack."""
    for run in runs:
        store.write_recipe(run)
    events: list[dict[str, Any]] = []
    runner = PackRunner(
        store, Site(sources={"sans": str(shards)}), ProcessRank(), StopSignal(),
        lambda event: events.append(json.loads(event.to_json())),
    )  # fmt: skip
    runner.execute(LoadedPack("test", runs, tiny.PRETRAIN))
    return [event for event in events if event["event"] in ("done", "failed")]


def test_after_an_error_the_next_run_of_a_pack_is_executed(tmp_path: Path, shards: Path) -> None:
    wrong = tiny.pretraining("supervised", samples=10**6)  # more than the source has
    right = tiny.pretraining("supervised")
    first, second = executed(Store(tmp_path), (wrong, right), shards)
    assert (first["event"], first["class"], second["event"]) == ("failed", "data", "done")


def test_a_worker_with_a_gpu_takes_no_more_threads_than_its_pack_says(
    tmp_path: Path, shards: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        executed(Store(tmp_path), (tiny.pretraining("scratch"),), shards)
        assert torch.get_num_threads() == tiny.PRETRAIN.threads == 1
    finally:
        torch.set_num_threads(before)


def test_after_a_lack_of_memory_the_next_run_of_a_pack_is_executed(
    tmp_path: Path, shards: Path
) -> None:
    """The activations of the large model need 3.5 GB, the limit is 0.5 GB."""
    large = tiny.pretraining("supervised", arch="torchvision/resnet50", samples_seen=64)
    small = tiny.pretraining("supervised")
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 5e8 / whole))
    try:
        first, second = executed(Store(tmp_path), (large, small), shards)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (first["event"], first["class"]) == ("failed", "CUDA out of memory")
    assert second["event"] == "done"
    assert torch.cuda.memory_allocated() < 5e8


def test_a_gpu_that_was_given_and_is_hidden_is_an_error(tmp_path: Path) -> None:
    store, run = Store(tmp_path / "store"), tiny.pretraining("scratch")
    packs = JobArray((Pack((run,), 1, 1),))
    store.open()
    store.write_manifest("test", packs, tiny.PRETRAIN.model_dump(mode="json"))
    command = [sys.executable, "-m", "hpc_xfer.worker", "--store", str(store.root)]
    command += ["--study", "test", "--pack", f"{packs.id}/0"]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HPC_XFER_DEVICE": "cuda"}
    done = subprocess.run(command, capture_output=True, text=True, env=hidden, cwd=ROOT)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [event for event in events if event["event"] == "failed"]
    assert [event["class"] for event in failed] == ["no gpu"], done.stderr


def test_convolutions_in_single_precision_do_not_use_tf32(tmp_path: Path) -> None:
    """With TF32 the error would be 3e-4."""
    tiny.finished(Store(tmp_path), tiny.pretraining("scratch"))
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(64, 64, 8, 8, generator=generator).cuda() for _ in range(2))
    exact = torch.nn.functional.conv2d(x.double(), weight[..., :3, :3].double())
    found = torch.nn.functional.conv2d(x, weight[..., :3, :3])
    assert float((found - exact).norm() / exact.norm()) < 1e-5
