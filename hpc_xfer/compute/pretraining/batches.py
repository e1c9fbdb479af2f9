"""Batches for pre-training: map a step number to this rank's part of the global batch.

A batch is a function of the step alone: no state to save, any number of workers, exact resume. A
sample that does not decode or lacks a field is replaced by its neighbor and counted.
"""

import contextlib
import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from hpc_xfer.compute.images import color_jitter, crops, decode
from hpc_xfer.compute.images.crops import View
from hpc_xfer.compute.pretraining import targets
from hpc_xfer.compute.shards.read_ahead import ReadAhead
from hpc_xfer.compute.shards.sample_order import SampleOrder, share
from hpc_xfer.compute.shards.shard import Sample, Shard
from hpc_xfer.compute.shards.source_reader import SourceReader
from hpc_xfer.compute.shards.subsets.subset import Positions, SampleLocation
from hpc_xfer.compute.training.loading.batch_buffers import BatchBuffers
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.compute.training.skipped_samples import BrokenSample
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import IMAGE_FIELDS, ShardIndex
from hpc_xfer.errors import DataError

_NEIGHBORS = 100  # broken samples in a row; then the shard counts as broken


@dataclass
class TrainBatches:
    """This rank's part of each global batch: `self[step]`, or `pieces` for loading processes.

    Keys: images uint8 (n, 3, S, S), of two views (n, 2, 3, S, S) with color (n, 2, k); tokens
    (n, context) or labels (n,) where the method needs them; broken, a list of skipped samples.
    """

    index: ShardIndex | Mapping[str, ShardIndex]  # of the source, or of each in a mixture
    order: SampleOrder
    recipe: Trained
    size: int  # side of the input in pixels
    rank: int = 0
    ranks: int = 1
    tokenize: Callable[[list[str]], Tensor] | None = None
    source: SourceReader = field(init=False)
    share: Positions = field(init=False)  # of the global batch

    def __post_init__(self) -> None:
        self.share = share(self.order.batch, self.rank, self.ranks, self.recipe.accumulate or 1)
        index, one = self.index, self.recipe.source_name
        indexes = {one: index} if isinstance(index, ShardIndex) else index
        self.source = SourceReader(indexes, len(self.order.streams_of(self.share)))

    def __getitem__(self, step: int) -> Batch:
        return self._batch(step, self.share, BatchBuffers())

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[Batch]:
        """Yield one of `workers` pieces of this rank's batch for each step.

        A worker always loads the same positions of the batch, so it reads the shards of these only.
        """
        chosen, buffers = np.array_split(self.share, workers)[worker], BatchBuffers()
        with contextlib.closing(ReadAhead(self.source, self.order, chosen)) as ahead:
            for step in steps:
                ahead.request(step)
                yield self._batch(step, chosen, buffers) if len(chosen) else {}

    def _batch(self, step: int, chosen: Positions, buffers: BatchBuffers) -> Batch:
        epoch, locations = self.order.locate(step, chosen)
        side, views = self.size, self.recipe.views
        images = buffers.images(len(locations), views, 3, side, side)
        batch = _Collector(self, epoch, images)
        for location in locations:
            batch.add(*location)
        return batch.tensors()


class _Collector:
    """Collects the samples of one batch; writes their views to `images` (n, views, 3, S, S)."""

    def __init__(self, batches: TrainBatches, epoch: int, images: Tensor) -> None:
        self.batches, self.epoch, self.images = batches, epoch, images
        recipe, indexes = batches.recipe, batches.source.indexes.values()
        self.target = [
            targets.target_reader(recipe, name, index.classes or ())
            for name, index in batches.source.indexes.items()
        ]
        self.beside_images = [targets.fields(recipe, name) for name in batches.source.indexes]
        self.has_several_kinds = any(
            len(set(index.fields).intersection(IMAGE_FIELDS)) > 1 for index in indexes
        )
        self.colors: list[np.ndarray] = []
        self.targets: list[Any] = []
        self.broken: list[BrokenSample] = []

    def add(self, number: int, position: int) -> None:
        """Add a sample of a shard; if broken, the next good one of the shard's subset."""
        source = self.batches.source
        which = source.source_of(number)
        tried = 0
        for place, index in self._candidates(number, position):
            shard = source.shard(place)
            try:
                sample = shard.read(index, self._fields(which, shard, index))
                self._take(sample, self.target[which], self._rng(place, index))
                return
            except (DataError, ValueError) as error:
                self.broken.append(BrokenSample(source.name(place), shard.keys[index], str(error)))
                tried += 1
        folder = source.index_of(number).folder
        raise DataError(
            f"{folder}/{source.entry(number).name}: {tried} broken samples in a row, the last: "
            f"{self.broken[-1]}; run `python -m hpc_xfer.shards check {shlex.quote(str(folder))}`"
        )

    def _fields(self, source: int, shard: Shard, index: int) -> tuple[str, ...]:
        """The fields to read: of several images of a sample, only the one that is used."""
        images: tuple[str, ...] = IMAGE_FIELDS
        if self.has_several_kinds:
            members = shard.sample_index.members(index)
            images = tuple(name for name in IMAGE_FIELDS if name in members)[:1]
        return (*images, *self.beside_images[source])

    def _candidates(self, number: int, position: int) -> Iterator[SampleLocation]:
        yield number, position
        subset = self.batches.order.parts[self.batches.source.source_of(number)]
        yield from itertools.islice(subset.following(number, position), 1, _NEIGHBORS)

    def _rng(self, number: int, index: int) -> Generator:
        return np.random.default_rng((self.batches.recipe.seed, 3, self.epoch, number, index))

    def _take(self, sample: Sample, reader: targets.Reader, rng: Generator) -> None:
        """Add a whole sample; if a part of it is broken, the next one takes its place."""
        recipe = self.batches.recipe
        target = reader(sample, rng)
        views = self.images[len(self.targets)]
        self._write(_image(sample), rng, views)
        if recipe.color_jitter is not None:
            size = self.batches.size
            numbers = recipe.color_jitter
            self.colors += [color_jitter.draw(rng, *numbers, size) for _ in range(recipe.views)]
        self.targets.append(target)

    def _write(self, data: bytes, rng: Generator, views: Tensor) -> None:
        """Draw crops before decoding if the size is known, to decode no more than needed."""
        size, shrink = self.batches.size, 1
        if (header := decode.upright_jpeg(data)) is None:
            image = decode.decode(data)
            drawn = self._draw(rng, image.shape[1], image.shape[2])
        else:
            drawn = self._draw(rng, header.height, header.width)
            shrink = crops.shrinkage(drawn, size)
            image = decode.decode(data, shrink=shrink, header=header)
        for i, view in enumerate(drawn):
            views[i].copy_(crops.crop_view(image, view, size, shrink))

    def _draw(self, rng: Generator, height: int, width: int) -> list[View]:
        recipe = self.batches.recipe
        return [
            crops.draw_view(rng, height, width, recipe.crop, recipe.flip)
            for _ in range(recipe.views)
        ]

    def tensors(self) -> Batch:
        recipe = self.batches.recipe
        images = self.images[:, 0] if recipe.views == 1 else self.images
        batch: Batch = {"images": images, "broken": self.broken}
        if self.colors:
            colors = torch.from_numpy(np.stack(self.colors))
            batch["color"] = colors.view(len(images), recipe.views, color_jitter.WIDTH)
        if recipe.uses_text:
            assert self.batches.tokenize is not None
            batch["tokens"] = self.batches.tokenize(self.targets)
        elif recipe.learns_labels:
            batch["labels"] = torch.tensor(self.targets)
        return batch


def _image(sample: Sample) -> bytes:
    for name in IMAGE_FIELDS:
        if name in sample:
            return sample[name]
    raise DataError(f"has no image ({', '.join(IMAGE_FIELDS)})")
