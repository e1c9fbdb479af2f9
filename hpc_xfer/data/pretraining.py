"""Batches for pre-training: step number in, this rank's part of the global batch out.

Map-style, with the step as the index: no state to save, any number of workers, exact resume. A
sample that does not decode or lacks a part is replaced by its neighbour and counted.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from hpc_xfer.data import crops, photometric
from hpc_xfer.data.images import decode
from hpc_xfer.data.sampling import Order
from hpc_xfer.data.shards import Shard, open_shard
from hpc_xfer.errors import DataError
from hpc_xfer.recipes import SimCLR, Trained
from hpc_xfer.shard_index import IMAGE_FIELDS, ShardIndex, index_command

Batch = dict[str, Any]
Parts = dict[str, bytes]
_NEIGHBOURS = 100  # broken samples in a row; then the shard is, not a sample


@dataclass
class TrainBatches(Dataset[Batch]):
    """`self[step]` is this rank's part of global batch `step`.

    Keys: images uint8 (n, 3, S, S), for SimCLR (n, 2, 3, S, S) with colour (n, 2, k); tokens
    (n, context) under clip; labels (n,) under supervised; broken, a list of what was passed over.
    """

    index: ShardIndex
    order: Order
    recipe: Trained
    size: int  # side of the input in pixels
    rank: int = 0
    ranks: int = 1
    tokenise: Callable[[list[str]], Tensor] | None = None
    counts: dict[int, int] = field(init=False)  # samples of each shard that are in the subset
    _open: dict[int, Shard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        subset = self.order.subset
        self.counts = dict(zip(subset.shards, subset.counts, strict=True))

    def __getitem__(self, step: int) -> Batch:
        epoch, places = self.order.at(step)
        share = len(places) // self.ranks
        batch = _Collector(self, epoch)
        for place in places[self.rank * share : (self.rank + 1) * share]:
            batch.add(*place)
        return batch.tensors()

    def shard(self, number: int) -> Shard:
        """Shards stay open, but only so many: a node may allow 1,024 open files."""
        if number not in self._open:
            if len(self._open) >= 64:
                self._open.pop(next(iter(self._open)))
            entry = self.index.entries[number]
            shard = open_shard(self.index.path(entry))
            if len(shard) != entry.samples:
                raise DataError(
                    f"{shard.path}: holds {len(shard):,} samples where the index says "
                    f"{entry.samples:,}; run {index_command(self.index.folder)}"
                )
            self._open[number] = shard
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}


class _Collector:
    def __init__(self, batches: TrainBatches, epoch: int) -> None:
        self.batches, self.epoch = batches, epoch
        self.images: list[Tensor] = []
        self.colours: list[np.ndarray] = []
        self.captions: list[str] = []
        self.labels: list[int] = []
        self.broken: list[str] = []

    def add(self, number: int, position: int) -> None:
        """The sample at a place, or the next in its shard that is whole."""
        shard, inside = self.batches.shard(number), self.batches.counts[number]
        for attempt in range(min(_NEIGHBOURS, inside)):
            place = (position + attempt) % inside
            try:
                self._take(shard.read(place), self._rng(number, place))
                return
            except (DataError, ValueError) as error:
                name = self.batches.index.entries[number].name
                self.broken.append(f"{name}: {shard.keys[place]}: {error}")
        raise DataError(
            f"{self.batches.index.folder}/{self.batches.index.entries[number].name}: "
            f"{min(_NEIGHBOURS, inside)} broken samples in a row, the last: {self.broken[-1]}; run "
            f"`python -m hpc_xfer.shards check {shlex.quote(str(self.batches.index.folder))}`"
        )

    def _rng(self, number: int, place: int) -> Generator:
        return np.random.default_rng((self.batches.recipe.seed, 3, self.epoch, number, place))

    def _take(self, parts: Parts, rng: Generator) -> None:
        """All of a sample or nothing of it."""
        method = self.batches.recipe.method
        target: Any = None
        if method == "clip":
            target = _caption(parts)
        elif method == "supervised":
            target = _label(parts, len(self.batches.index.classes or ()))
        image = decode(_image(parts))
        recipe, size = self.batches.recipe, self.batches.size
        if isinstance(recipe, SimCLR):
            views = [crops.augmented(image, rng, size, recipe.crop, recipe.flip) for _ in range(2)]
            self.images.append(torch.stack(views))
            self.colours += [
                photometric.draw(rng, recipe.jitter, recipe.gray, recipe.blur, size)
                for _ in range(2)
            ]
            return
        self.images.append(crops.augmented(image, rng, size, recipe.crop, recipe.flip))
        if method == "clip":
            self.captions.append(target)
        else:
            self.labels.append(target)

    def tensors(self) -> Batch:
        batch: Batch = {"images": torch.stack(self.images), "broken": self.broken}
        if self.colours:
            batch["colour"] = torch.from_numpy(np.stack(self.colours)).view(
                len(self.images), 2, photometric.WIDTH
            )
        if self.captions:
            assert self.batches.tokenise is not None
            batch["tokens"] = self.batches.tokenise(self.captions)
        if self.labels:
            batch["labels"] = torch.tensor(self.labels)
        return batch


def _image(parts: Parts) -> bytes:
    for name in IMAGE_FIELDS:
        if name in parts:
            return parts[name]
    raise DataError(f"has no image ({', '.join(IMAGE_FIELDS)})")


def _caption(parts: Parts) -> str:
    caption = parts.get("txt", b"").decode("utf-8", errors="replace").strip()
    if not caption:
        raise DataError("has no caption (txt)")
    return caption


def _label(parts: Parts, classes: int) -> int:
    if "cls" not in parts:
        raise DataError("has no label (cls)")
    label = int(parts["cls"])
    if not 0 <= label < classes:
        raise DataError(f"label {label} is outside of the {classes} classes")
    return label
