"""Evaluation images of a data set: center crops from memory, from a cache on disk, or decoded."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.compute.downstream.array_format import Rows
from hpc_xfer.compute.downstream.datasets import ImageSet
from hpc_xfer.compute.downstream.decoded_cache import DecodedCache
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.compute.images import crops
from hpc_xfer.system import machine
from hpc_xfer.system.limits.process_share import kept_bytes, own_memory

_BATCH = 256  # images at most; no gradients are needed
_BATCH_PIXELS = 256 * 128 * 128  # so 64 images of 224 px: 1.6 GB at the widest layer of a ResNet-50
_READERS = 8  # threads; a GPU seldom has more cores as its share
_MANY = 4  # a request for a quarter of a split decodes all of it, for the cache on disk


def batch_size(size: int) -> int:
    """Images per batch: a power of two that depends on their side alone.

    It decides last bits, so it must not depend on the memory of a machine.
    """
    most = min(_BATCH, max(1, _BATCH_PIXELS // (size * size)))
    return 1 << (most.bit_length() - 1)


@functools.cache
def room() -> int:
    """Bytes of a data set's views that this process keeps; others are read or decoded again."""
    return kept_bytes(own_memory())


def fits_memory(images: int, size: int) -> bool:
    """True where the views of so many images may be kept in memory."""
    return images * 3 * size * size <= room()


class EvalImages:
    """Center crops of one side length, without randomness; the same bits from wherever they come.

    A view that was decoded is kept, as far as the memory of the process allows.
    """

    def __init__(self, images: ImageSet, size: int, cache: DecodedCache | None = None) -> None:
        self.images, self.size, self.cache = images, size, cache
        most = min(len(images), room() // (3 * size * size))
        # Allocated in whole, taken from the system as it fills.
        self._kept = torch.empty((most, 3, size, size), dtype=torch.uint8)
        self._place = np.full(len(images), -1)  # in `_kept`
        self._used = 0

    def batches(
        self, chosen: Indices, touch: Callable[[], object] = lambda: None
    ) -> Iterator[Tensor]:
        """Yield uint8 (n, 3, size, size) in the order of `chosen`; `touch` is a sign of life.

        Batch sizes differ by at most one, so that all count alike for batch norm.
        """
        parts = np.array_split(chosen, -(-len(chosen) // batch_size(self.size)))
        stored = self.cache is not None and not (self._place[chosen] >= 0).all()
        make = len(chosen) * _MANY >= len(self.images) or len(chosen) > len(self._kept)
        for part in parts:
            touch()
            rows = self._stored(part, make, touch) if stored else None
            yield self._batch(part) if rows is None else torch.from_numpy(rows)

    def _stored(self, part: Indices, make: bool, touch: Callable[[], object]) -> Rows | None:
        assert self.cache is not None
        return self.cache.rows(part, make, self._views, touch)

    def _batch(self, chosen: Indices) -> Tensor:
        new = np.unique(chosen[self._place[chosen] < 0])
        kept = new[: len(self._kept) - self._used]
        for i, view in zip(kept, self._decoded(kept), strict=True):
            self._kept[self._used] = view
            self._place[i] = self._used
            self._used += 1
        if len(kept) == len(new):
            return self._kept[self._place[chosen]]
        rest = dict(zip(new[len(kept) :], self._decoded(new[len(kept) :]), strict=True))
        places = self._place[chosen]
        return torch.stack(
            [
                self._kept[place] if place >= 0 else rest[i]
                for i, place in zip(chosen, places, strict=True)
            ]
        )

    def _views(self, chosen: Indices) -> Rows:
        return torch.stack(self._decoded(chosen)).numpy()

    def _decoded(self, chosen: Indices) -> list[Tensor]:
        """Decode files in several threads: decoders release the GIL, and network files are slow."""
        if not self.images.from_files:
            return [self._decode(i) for i in chosen]
        with ThreadPoolExecutor(min(_READERS, machine.cores())) as readers:
            return list(readers.map(self._decode, chosen))

    def _decode(self, i: int) -> Tensor:
        return crops.center_crop(self.images.image(int(i)), self.size)
