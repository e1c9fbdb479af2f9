"""Evaluation images of a data set, decoded once if they fit into memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.compute.downstream.datasets import ImageSet
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.compute.images import crops
from hpc_xfer.system import machine

_BATCH = 256  # images; no gradients are needed
_READERS = 8  # threads; a GPU seldom has more cores as its share
_KEPT_BYTES = 1 << 29  # 20,000 images of 32 px, 3,500 of 224 px; larger sets are decoded each time


class EvalImages:
    """Center crops of one side length, without randomness."""

    def __init__(self, images: ImageSet, size: int) -> None:
        self.images, self.size = images, size
        self._kept: Tensor | None = None
        self._decoded_before = np.zeros(len(images), dtype=bool)
        if len(images) * 3 * size * size <= _KEPT_BYTES:
            self._kept = torch.empty((len(images), 3, size, size), dtype=torch.uint8)

    def batches(self, chosen: Indices) -> Iterator[Tensor]:
        """Yield uint8 (n, 3, size, size) with n up to 256, in the order of `chosen`.

        Batch sizes differ by at most one, so that all count alike for batch norm.
        """
        for part in np.array_split(chosen, -(-len(chosen) // _BATCH)):
            yield self._batch(part)

    def _batch(self, chosen: Indices) -> Tensor:
        if self._kept is None:
            return torch.stack(self._decoded(chosen))
        new = chosen[~self._decoded_before[chosen]]
        for i, image in zip(new, self._decoded(new), strict=True):
            self._kept[i] = image
            self._decoded_before[i] = True
        return self._kept[chosen]

    def _decoded(self, chosen: Indices) -> list[Tensor]:
        """Decode files in several threads: decoders release the GIL, and network files are slow."""
        if not self.images.from_files:
            return [self._decode(i) for i in chosen]
        with ThreadPoolExecutor(min(_READERS, machine.cores())) as readers:
            return list(readers.map(self._decode, chosen))

    def _decode(self, i: int) -> Tensor:
        return crops.center_crop(self.images.image(int(i)), self.size)
