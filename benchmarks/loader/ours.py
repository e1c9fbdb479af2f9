"""Ours for `loader`: batches of the pre-training loader, one worker process."""

import contextlib
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import interleave
from hpc_xfer.compute.images import color_jitter
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.compute.training.loading.data_loader import BatchLoader
from hpc_xfer.config.recipes import Clip, SimCLR
from hpc_xfer.config.shard_index import ShardIndex

_ARCH = "RN50"  # whose tokenizer; open_clip's side takes the same
_ENDLESS = range(1 << 30)
_METHODS = {"clip": Clip, "simclr": SimCLR}


def load(
    method: str, folder: str, size: int, batch: int, first: int = 0
) -> Generator[dict[str, Any], None, None]:
    """Batches as the loop gets them, from step `first` on."""
    index = ShardIndex.load(Path(folder))
    recipe = _METHODS[method](
        arch=_ARCH,
        source="photos",
        samples=index.samples,
        samples_seen=len(_ENDLESS) * batch,
        batch=batch,
    )
    subset = Subset.draw([entry.samples for entry in index.entries], index.samples, seed=0)
    tokenize = encoders.tokenizer(_ARCH) if method == "clip" else None
    order = SampleOrder(subset, batch, seed=0)
    batches = TrainBatches(index, order, recipe, size, tokenize=tokenize)
    return BatchLoader(batches, _ENDLESS[first:], workers=1, device=torch.device("cpu")).loaded()


def loading(method: str, folder: str, size: int, batch: int, seconds: float) -> float:
    with contextlib.closing(load(method, folder, size, batch)) as batches:
        return interleave.rate(_sound(batches), batch, seconds)


def restart(folder: str, size: int, batch: int, step: int) -> float:
    """Seconds until the batch of a step in the middle is there."""
    begun = time.perf_counter()
    with contextlib.closing(load("clip", folder, size, batch, step)) as batches:
        next(_sound(batches))
        return time.perf_counter() - begun


def color(size: int, batch: int, seconds: float) -> float:
    """Images/s of SimCLR's color pass, two views each: on the GPU, else on one core."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    recipe = SimCLR(arch=_ARCH, source="photos", samples=batch, samples_seen=batch, batch=batch)
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (2 * batch, size, size, 3), dtype=np.uint8))
    views = pixels.permute(0, 3, 1, 2)  # channels last, as the loader gives them
    rows = [
        color_jitter.draw(rng, recipe.jitter, recipe.gray, recipe.blur, size)
        for _ in range(2 * batch)
    ]
    images, numbers = views.to(device), torch.from_numpy(np.stack(rows)).to(device)
    return interleave.rate(_passes(images, numbers), batch, seconds)


def _passes(images: torch.Tensor, numbers: torch.Tensor) -> Generator[None, None, None]:
    while True:
        color_jitter.apply(images, numbers)
        if images.is_cuda:
            torch.cuda.synchronize()
        yield


def _sound(
    batches: Generator[dict[str, Any], None, None],
) -> Generator[dict[str, Any], None, None]:
    for batch in batches:
        if "failure" in batch or batch["broken"]:
            raise RuntimeError(f"{batch.get('failure')} {batch.get('broken')}")
        yield batch


if __name__ == "__main__":
    interleave.serve({"loading": loading, "restart": restart, "color": color})
