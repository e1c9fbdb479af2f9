"""What else is measured on a card: host waits, loading, checkpoints, evaluation."""

import contextlib
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import our_step
from benchmarks.gpu.our_step import OurStep
from benchmarks.gpu.setting import Setting
from benchmarks.harness import photo_shards
from hpc_xfer.compute.downstream.eval_images import batch_size
from hpc_xfer.compute.finetuning.classifier import Classifier, extract
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.compute.training.checkpoint import HostCopy
from hpc_xfer.compute.training.gpu_arithmetic import measured_algorithms
from hpc_xfer.compute.training.loading.data_loader import FAILURES, BatchLoader
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex


def host_waits(setting: Setting, method: str, precisions: list[str]) -> dict[str, Any]:
    """Count the operations of one step that make the host wait for the GPU."""
    told = [f"{_waits(setting, method, precision)} in {precision}" for precision in precisions]
    return {"found": ", ".join(told) if setting.on_gpu else "needs a GPU; the steps work"}


def _waits(setting: Setting, method: str, precision: str) -> str:
    made = our_step.recipe(setting, method, "RN50", setting.batch(128), precision)
    steps = OurStep(setting, made, "RN50")
    steps.run(1 if setting.tiny else 3)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if setting.on_gpu:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            steps.run(1)
        finally:
            if setting.on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    waits = [each for each in seen if "called a synchronizing" in str(each.message)]
    where = sorted({f"{Path(each.filename).name}:{each.lineno}" for each in waits})
    return f"{len(waits)} ({', '.join(where)})" if where else str(len(waits))


def loading(setting: Setting, workers: int, batch: int, steps: int) -> dict[str, Any]:
    """Train from shards of JPEGs, and tell the share of the time spent waiting for a batch."""
    batch, steps = setting.batch(batch), 3 if setting.tiny else steps
    warm = 1 if setting.tiny else 4  # batches before the clock: processes start, buffers fill
    index = ShardIndex.load(photo_shards.shards("small"))
    made = our_step.recipe(setting, "clip", "RN50", batch, "bf16")
    with measured_algorithms(setting.device, True), contextlib.closing(
        BatchLoader(_batches(index, made), range(warm + steps), workers, setting.device).loaded()
    ) as batches:  # fmt: skip
        ours = OurStep(setting, made, "RN50")
        waited, begun = 0.0, 0.0
        for number in range(warm + steps):
            if number == warm:
                setting.synchronize()
                waited, begun = 0.0, time.perf_counter()
            asked = time.perf_counter()
            found = next(batches)
            waited += time.perf_counter() - asked
            for key in FAILURES:
                if key in found:
                    raise RuntimeError(found[key])
            ours.stepper.step(found, number)
        setting.synchronize()
        seconds = time.perf_counter() - begun
    share = f"{100 * waited / seconds:.0f}% of the time waiting for data"
    return {"rate": batch * steps / seconds, "step_ms": 1e3 * seconds / steps, "found": share}


def _batches(index: ShardIndex, made: Trained) -> TrainBatches:
    subset = Subset.draw([entry.samples for entry in index.entries], index.samples, seed=0)
    order = SampleOrder(subset, made.batch, seed=0)
    tokenize = encoders.tokenizer(made.arch)
    return TrainBatches(index, order, made, architectures.image_size(made.arch), tokenize=tokenize)


def checkpoint(setting: Setting) -> dict[str, Any]:
    """Time the copy to the host of all that a checkpoint holds, the first and a later one."""
    made = our_step.recipe(setting, "clip", "RN50", setting.batch(32), "bf16")
    steps = OurStep(setting, made, "RN50")
    steps.run(1)
    told = []
    for which in ("first", "second", "third"):
        setting.synchronize()
        begun = time.perf_counter()
        copied = HostCopy(steps.stepper.state_dict())
        blocked = time.perf_counter() - begun
        copied.result()
        whole = time.perf_counter() - begun
        told.append(f"{which} blocks {1e3 * blocked:.0f} ms, whole after {1e3 * whole:.0f} ms")
    return {"found": f"{told[0]}; {told[2]}"}


def evaluation(setting: Setting, precision: str) -> dict[str, Any]:
    """Images per second of features, as fine-tuning and probes take them."""
    found = our_step.towers(setting, "RN50", with_text=False)
    model = Classifier(found, 10, 0.0).to(setting.device).to(memory_format=torch.channels_last)
    side = found.image_size
    n, times = (8, 1) if setting.tiny else (batch_size(side), 24)
    images = torch.randint(256, (n, 3, side, side), dtype=torch.uint8)
    extract(model, [images] * min(times, 3), setting.device, precision)
    begun = time.perf_counter()
    extract(model, [images] * times, setting.device, precision)
    return {"rate": n * times / (time.perf_counter() - begun)}
