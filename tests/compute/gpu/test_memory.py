"""Memory of a GPU: what takes it, what gives it back, what is told of it."""

import json
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.models import flops
from hpc_xfer.compute.training.checkpoint import HostCopy
from hpc_xfer.compute.training.step_metrics import StepMetrics
from hpc_xfer.store.store import Store
from tests import steps, tiny
from tests.compute.gpu.devices import on_gpu

pytestmark = pytest.mark.gpu


def test_recomputed_activations_take_less_memory() -> None:
    """Without cuDNN's workspace, 3.8 GiB and 1.3 GiB: of a ResNet-50, blocks hold nearly all."""
    recipe = steps.recipe("supervised", arch="torchvision/resnet50")
    batch = {"images": torch.zeros(32, 3, 224, 224, dtype=torch.uint8)}
    batch["labels"] = torch.arange(32) % steps.CLASSES
    peaks = []
    for recomputed in (False, True):
        stepper = steps.stepper(recipe, on_gpu(), recomputed=recomputed)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        stepper.backward(batch, 0)
        peaks.append(torch.cuda.max_memory_allocated())
        del stepper
    assert peaks[1] < 0.6 * peaks[0]


def test_a_checkpoint_holds_the_state_at_the_time_it_was_begun() -> None:
    """Copies to the host are queued after this step and before the next one."""
    weights = torch.arange(50_000_000, dtype=torch.int32, device="cuda")
    copied = HostCopy({"weights": weights, "step": 1})
    weights.zero_()
    state = copied.result()
    assert state["step"] == 1 and state["weights"].device.type == "cpu"
    assert torch.equal(state["weights"], torch.arange(50_000_000, dtype=torch.int32))


def test_the_peak_memory_of_a_run_does_not_include_the_run_before() -> None:
    taken = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    del taken
    recipe = steps.recipe("clip")
    stepper = steps.stepper(recipe, on_gpu())
    metrics = StepMetrics(stepper.objective, stepper.schedule, on_gpu(), None, 0)
    row = metrics.read(1, 1.0, stepper.step(steps.global_batch(recipe), 0), 0.0)
    assert row["gpu_memory_gib"] is not None and 0 < row["gpu_memory_gib"] < 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_metrics_include_the_memory_and_the_utilization_of_known_gpus(
    precision: str, tmp_path: Path
) -> None:
    run = tiny.pretraining("clip", precision=precision)
    folder = tiny.finished(Store(tmp_path / "store"), run, tiny.source(tmp_path / "sans"))
    row = json.loads(folder.metrics.read_text().splitlines()[-1])
    assert row["gpu_memory_gib"] > 0 and row["model_tflops"] > 0
    known = flops.peak(torch.cuda.get_device_name(), precision) is not None
    assert ("mfu" in row) == known
