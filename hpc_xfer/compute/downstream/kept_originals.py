"""Keep the training images of a few-shot draw decoded in memory, at their full size.

    images = originals.kept(chosen, touch)     # None: they are too many

A trial shows each image once per epoch, often more than a hundred times, and the trials of a pack
show the same ones. Crops are cut from the original, so the bits are those of decoding again.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from hpc_xfer.compute.downstream.datasets import ImageSet, Labels
from hpc_xfer.compute.downstream.eval_images import room
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.system import machine

_SAMPLE = 32  # images decoded before their mean size says whether all fit
_READERS = 8  # threads


@dataclass(frozen=True, eq=False)
class KeptImages:
    """An image set of which only some images are there, decoded."""

    from_files: ClassVar[bool] = False
    labels: Labels  # of all
    originals: dict[int, Tensor]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> Tensor:
        return self.originals[i]


class Originals:
    """The decoded images of one image set that were chosen last, as far as memory allows."""

    def __init__(self, images: ImageSet, most_bytes: int | None = None) -> None:
        """
        Args:
            most_bytes: of the images; None for the share of this process, see process_share.py. At
                the least share these are some 500 photos of 500 x 375 px.
        """
        self.images = images
        self.most_bytes = room() if most_bytes is None else most_bytes
        self._decoded: dict[int, Tensor] = {}

    def kept(self, chosen: Indices, touch: Callable[[], object]) -> KeptImages | None:
        """Decode what is not there yet; forget the images of other draws. None: too many.

        Raises:
            DataError: an image cannot be decoded.
        """
        wanted = [int(i) for i in np.unique(chosen)]
        self._decoded = {i: self._decoded[i] for i in wanted if i in self._decoded}
        new = [i for i in wanted if i not in self._decoded]
        for first in range(0, len(new), _SAMPLE):
            touch()
            part = new[first : first + _SAMPLE]
            self._decoded.update(zip(part, self._read(part), strict=True))
            if self._expected(len(wanted)) > self.most_bytes:
                self._decoded = {}
                return None
        return KeptImages(self.images.labels, self._decoded)

    def _expected(self, count: int) -> float:
        total = sum(image.nbytes for image in self._decoded.values())
        return total / len(self._decoded) * count

    def _read(self, part: list[int]) -> list[Tensor]:
        with ThreadPoolExecutor(min(_READERS, machine.cores())) as readers:
            return list(readers.map(self.images.image, part))
