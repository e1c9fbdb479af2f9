"""Tests that need a GPU; numbers are compared with those of the CPU."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.downstream.decoded_cache import CachePlaces
from hpc_xfer.compute.finetuning.cache import FinetuneCache
from hpc_xfer.compute.finetuning.feature_cache import Extraction
from hpc_xfer.compute.images import color_jitter
from hpc_xfer.compute.models import encoders, flops
from hpc_xfer.compute.training.checkpoint import HostCopy
from hpc_xfer.compute.training.step_metrics import StepMetrics
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.store.store import Store
from tests import steps, tiny
from tests.compute.distributed import test_failing_ranks

pytestmark = pytest.mark.gpu
METHODS = ("clip", "siglip", "simclr", "supervised")


def on_gpu() -> World:
    return World(device=torch.device("cuda"))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_equals_that_of_the_cpu(method: str, parts: int) -> None:
    recipe = steps.recipe(method, accumulate=parts)
    batch = steps.global_batch(recipe)
    here = steps.stepper(recipe, dtype=torch.float64)
    there = steps.stepper(recipe, on_gpu(), torch.float64)
    losses = [float(each.backward(batch, 0)) for each in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-10)
    assert steps.apart(steps.gradients(here), steps.gradients(there)) < 1e-10


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_close_to_single_precision(method: str, precision: str) -> None:
    recipe = steps.recipe(method)
    batch = steps.global_batch(recipe)
    expected = float(steps.stepper(recipe).backward(batch, 0))
    stepper = steps.stepper(steps.recipe(method, precision=precision), on_gpu())
    assert float(stepper.backward(batch, 0)) == pytest.approx(expected, rel=1e-2)
    stepper.optimizer.zero_grad()
    for number in range(5):
        assert stepper.step(batch, number).loss.isfinite()
    stepper.check()


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_compiled_modules_keep_names_and_numbers(method: str, recomputed: bool) -> None:
    recipe = steps.recipe(method)
    batch = steps.global_batch(recipe)
    plain = steps.stepper(recipe, on_gpu(), torch.float64)
    compiled = steps.stepper(recipe, on_gpu(), torch.float64, compiled=True, recomputed=recomputed)
    losses = [float(each.backward(batch, 0)) for each in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-8)
    assert steps.apart(steps.gradients(plain), steps.gradients(compiled)) < 1e-6
    plain.load_state_dict(compiled.state_dict())


def test_recomputed_activations_take_less_memory() -> None:
    recipe = steps.recipe("supervised", arch="torchvision/resnet18")
    batch = {"images": torch.zeros(16, 3, 224, 224, dtype=torch.uint8)}
    batch["labels"] = torch.arange(16)
    peaks = []
    for recomputed in (False, True):
        stepper = steps.stepper(recipe, on_gpu(), recomputed=recomputed)
        torch.cuda.reset_peak_memory_stats()
        stepper.backward(batch, 0)
        peaks.append(torch.cuda.max_memory_allocated())
        del stepper
    assert peaks[1] < 0.7 * peaks[0]


def nccl_rank(method: str, parts: int, number: int, size: int, folder: Path) -> None:
    recipe = steps.recipe(method, accumulate=parts)
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        assert world.device == torch.device("cuda", number)
        assert world.max(number == 0, False, number / 8) == [1, 0, 1 / 8]
        stepper = steps.stepper(recipe, world, torch.float64)
        loss = world.mean(stepper.backward(steps.part(recipe, world), 0))
        found = {"loss": loss.cpu(), "gradients": steps.gradients(stepper)}
        torch.save(found, folder / f"{number}.pt")


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_ranks_with_nccl_equal_one_process(method: str, parts: int, tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    recipe = steps.recipe(method, accumulate=parts)
    alone = steps.stepper(recipe, dtype=torch.float64)
    expected = float(alone.backward(steps.global_batch(recipe), 0))
    ranks = [tiny.child(nccl_rank, method, parts, i, 2, tmp_path) for i in range(2)]
    assert tiny.join(ranks) == [0, 0]
    for number in range(2):
        found = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        assert float(found["loss"]) == pytest.approx(expected, rel=1e-10)
        assert steps.apart(steps.gradients(alone), found["gradients"]) < 1e-10


@pytest.mark.parametrize("fails", [0, 1])
def test_a_failed_rank_does_not_wait_for_kernels_of_nccl(fails: int, tmp_path: Path) -> None:
    """The other rank may hang in such a kernel; the launcher ends it."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    store = Store(tmp_path)
    run, shards = tiny.pretraining("supervised"), tiny.source(tmp_path / "sans")
    batch = test_failing_ranks.written(store, run, shards)
    ranks = [tiny.child(test_failing_ranks.rank, i, fails, tmp_path, batch) for i in range(2)]
    assert tiny.join([ranks[fails], ranks[1 - fails]], seconds=60)[0] == 1
    told = {"class": "code", "message": test_failing_ranks.WHY}
    assert test_failing_ranks.told(tmp_path, fails) == told


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"precision": "fp16", "accumulate": 2}])
def test_a_stopped_run_is_resumed(changes: dict[str, Any], tmp_path: Path) -> None:
    shards = tiny.source(tmp_path / "sans")
    run = tiny.pretraining("clip", **changes)
    how: dict[str, Any] = {"compile": True, "activation_checkpointing": True}
    events = tiny.execute(Store(tmp_path), run, shards, stop=tiny.StopAfter(3), **how)
    assert events[-1]["event"] == "interrupted"
    folder = tiny.finished(Store(tmp_path), run, shards, **how)
    assert tiny.record(folder)["metrics"]["steps"] == 8


def test_changing_colors_does_not_wait_for_the_device() -> None:
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8, device="cuda")
    rows = torch.tensor([[1.1, 0.9, 1.2, 0.1, 1.0, 1.0]] * 2).cuda()
    color_jitter.apply(images, rows)
    torch.cuda.set_sync_debug_mode("error")
    try:
        color_jitter.apply(images, rows)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_checkpoint_holds_the_state_at_the_time_it_was_begun() -> None:
    """Copies to the host are queued after this step and before the next one."""
    weights = torch.arange(50_000_000, dtype=torch.float32, device="cuda")
    copied = HostCopy({"weights": weights, "step": 1})
    weights.zero_()
    state = copied.result()
    assert state["step"] == 1 and state["weights"].device.type == "cpu"
    assert torch.equal(state["weights"], torch.arange(50_000_000, dtype=torch.float32))


def test_convolutions_in_single_precision_do_not_use_tf32(tmp_path: Path) -> None:
    """With TF32 the error would be 3e-4."""
    tiny.finished(Store(tmp_path), tiny.pretraining("scratch"))
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(64, 64, 8, 8, generator=generator).cuda() for _ in range(2))
    exact = torch.nn.functional.conv2d(x.double(), weight[..., :3, :3].double())
    found = torch.nn.functional.conv2d(x, weight[..., :3, :3])
    assert float((found - exact).norm() / exact.norm()) < 1e-5


def test_the_peak_memory_of_a_run_does_not_include_the_run_before() -> None:
    taken = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    del taken
    recipe = steps.recipe("clip")
    stepper = steps.stepper(recipe, on_gpu())
    metrics = StepMetrics(stepper.objective, stepper.schedule, on_gpu(), None, 0)
    row = metrics.read(1, 1.0, stepper.step(steps.global_batch(recipe), 0), 0.0)
    assert row["gpu_memory_gib"] is not None and 0 < row["gpu_memory_gib"] < 1


def test_metrics_include_the_memory_and_the_utilization_of_known_gpus(tmp_path: Path) -> None:
    run = tiny.pretraining("clip")
    folder = tiny.finished(Store(tmp_path / "store"), run, tiny.source(tmp_path / "sans"))
    row = json.loads(folder.metrics.read_text().splitlines()[-1])
    assert row["gpu_memory_gib"] > 0 and row["model_tflops"] > 0
    known = flops.peak(torch.cuda.get_device_name(), "fp32") is not None
    assert ("mfu" in row) == known


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
