"""Views of pre-training: the pixels that decoding, cutting and resizing give one by one."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from hpc_xfer.compute.images import crops, decode
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex
from tests import tiny
from tests.compute.shard_tools.making import write_shards


def batches_of(index: ShardIndex, method: str) -> TrainBatches:
    recipe = tiny.pretraining(method).recipe
    assert isinstance(recipe, Trained)
    order = SampleOrder(Subset.draw([e.samples for e in index.entries], index.samples, 0), 16, 0)
    tokenize = encoders.tokenizer(recipe.arch) if recipe.uses_text else None
    return TrainBatches(index, order, recipe, 32, tokenize=tokenize)


def photo_file(rng: np.random.Generator, height: int, width: int, kind: str) -> tuple[str, bytes]:
    """A file of noise and large shapes: JPEGs of several kinds, PNG, WebP."""
    pixels = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((height // 4, width // 4, 1)))
    image = Image.fromarray(
        (pixels + rng.integers(-20, 20, pixels.shape)).clip(0, 255).astype("u1")
    )
    mode, name, options = {
        "jpeg": ("RGB", "jpeg", {}),
        "fine": ("RGB", "jpeg", {"subsampling": 0, "progressive": True}),
        "gray": ("L", "jpeg", {}),
        "cmyk": ("CMYK", "jpeg", {}),
        "png": ("RGBA", "png", {}),
        "webp": ("RGB", "webp", {}),
    }[kind]
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, name, **options)
    return {"jpeg": "jpg"}.get(name, name), buffer.getvalue()


def plainly_made(batches: TrainBatches, step: int) -> torch.Tensor:
    """Decode, cut, resize and flip each view by itself, in planes, and stack them."""
    epoch, locations = batches.order.locate(step, batches.share)
    recipe, images = batches.recipe, []
    for number, index in locations:
        rng = np.random.default_rng((recipe.seed, 3, epoch, number, index))
        sample = batches.source.shard(number).read(index)
        data = next(sample[name] for name in ("jpg", "png", "webp") if name in sample)
        header = decode.upright_jpeg(data)
        whole = decode.decode(data).contiguous()
        height, width = whole.shape[1:]
        views = [
            crops.draw_view(rng, height, width, recipe.crop, recipe.flip)
            for _ in range(recipe.views)
        ]
        shrink = crops.shrinkage(views, batches.size) if header else 1
        image = decode.decode(data, shrink=shrink).contiguous()
        made = []
        for view in views:
            top, left, h, w = (round(value / shrink) for value in view.box)
            part = image[:, top : top + h, left : left + w].contiguous()
            part = interpolate(part[None], (batches.size,) * 2, mode="bicubic", antialias=True)[0]
            made.append(part.flip(-1) if view.flipped else part)
        images.append(made[0] if recipe.views == 1 else torch.stack(made))
    return torch.stack(images)


@pytest.mark.parametrize("method", ["clip", "simclr", "supervised"])
def test_views_equal_those_made_one_by_one(method: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [(40, 52), (32, 32), (76, 200), (300, 256), (20, 24)]
    files = [
        photo_file(rng, *sizes[i % 5], kind)
        for i, kind in enumerate(["jpeg", "fine", "gray", "cmyk", "png", "webp"] * 6)
    ]
    written = [
        {name: data, "txt": f"a {i}".encode(), "cls": b"%d" % (i % 16)}
        for i, (name, data) in enumerate(files)
    ]
    index = write_shards(tmp_path, written, [str(i) for i in range(16)], per_shard=24)
    ours = batches_of(index, method)
    for step in range(3):
        assert torch.equal(ours[step]["images"], plainly_made(ours, step))
