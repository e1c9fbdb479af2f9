"""Evaluation views of a data set, decoded once where they fit into memory."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.data import crops
from hpc_xfer.data.downstream import ImageSet
from hpc_xfer.data.draws import Indices

_BATCH = 256  # images at a time where no gradient is needed
_KEPT_BYTES = 1 << 29  # 20,000 images of 32 px, 3,500 of 224 px; more are decoded again


class Views:
    """Centre crops of one side length; no randomness."""

    def __init__(self, images: ImageSet, size: int) -> None:
        self.images, self.size = images, size
        self._kept: Tensor | None = None
        self._there = np.zeros(len(images), dtype=bool)
        if len(images) * 3 * size * size <= _KEPT_BYTES:
            self._kept = torch.empty((len(images), 3, size, size), dtype=torch.uint8)

    def batches(self, chosen: Indices) -> Iterator[Tensor]:
        """uint8 (n, 3, size, size), n up to 256, in the order of `chosen`.

        The sizes differ by one at most, so that each batch counts as much for batch norm.
        """
        for part in np.array_split(chosen, -(-len(chosen) // _BATCH)):
            yield self._batch(part)

    def _batch(self, chosen: Indices) -> Tensor:
        if self._kept is None:
            return torch.stack([self._decode(i) for i in chosen])
        for i in chosen[~self._there[chosen]]:
            self._kept[i] = self._decode(i)
            self._there[i] = True
        return self._kept[chosen]

    def _decode(self, i: int) -> Tensor:
        return crops.central(self.images.image(int(i)), self.size)
