"""Small tar shards of plain colors, and the batches that a pre-training reads from them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex
from tests import tiny
from tests.compute.shard_tools.making import write_shards

Sample = dict[str, bytes]


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (level, 0, 255 - level)).save(buffer, "png")
    return buffer.getvalue()


def samples(n: int, broken: Mapping[int, Sample] | None = None) -> list[Sample]:
    """Plain colors with a caption and one of 16 labels; `broken` replaces fields of some."""
    whole = [
        {"png": png(i), "txt": f"level {i}".encode(), "cls": str(i % 16).encode()} for i in range(n)
    ]
    for i, fields in (broken or {}).items():
        whole[i] |= fields
        whole[i] = {name: data for name, data in whole[i].items() if data != b"-"}
    return whole


def shards(folder: Path, n: int = 64, broken: Mapping[int, Sample] | None = None) -> ShardIndex:
    return write_shards(folder, samples(n, broken), [str(i) for i in range(16)], per_shard=24)


def batches(index: ShardIndex, method: str, rank: int = 0, ranks: int = 1) -> TrainBatches:
    recipe = tiny.pretraining(method).recipe
    assert isinstance(recipe, Trained)
    order = SampleOrder(Subset.draw([e.samples for e in index.entries], index.samples, 0), 16, 0)
    tokenize = encoders.tokenizer(recipe.arch) if recipe.uses_text else None
    return TrainBatches(index, order, recipe, 32, rank, ranks, tokenize)


def same(one: Batch, two: Batch) -> bool:
    return one.keys() == two.keys() and all(
        torch.equal(one[k], two[k]) if isinstance(one[k], torch.Tensor) else one[k] == two[k]
        for k in one
    )


def recipe_of(method: str, **changes: Any) -> Trained:
    recipe = tiny.pretraining(method, **changes).recipe
    assert isinstance(recipe, Trained)
    return recipe
