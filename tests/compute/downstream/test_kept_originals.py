"""Training images that stay decoded in memory."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.compute.downstream.datasets import Labels
from hpc_xfer.compute.downstream.kept_originals import Originals


@dataclass(frozen=True, eq=False)
class CountedImages:
    """Images of 3 x 10 x 10 bytes that hold their number; records which are decoded."""

    from_files: ClassVar[bool] = True
    labels: Labels = field(default_factory=lambda: np.arange(100))
    decoded: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return 100

    def image(self, i: int) -> Tensor:
        self.decoded.append(i)
        return torch.full((3, 10, 10), i, dtype=torch.uint8)


def quiet() -> None:
    """No sign of life is wanted."""


def test_images_are_decoded_once_while_they_are_chosen() -> None:
    originals = Originals(images := CountedImages())
    for chosen in ([3, 5], [3, 5], [3, 5, 8], [3, 5], [8]):
        kept = originals.kept(np.array(chosen), quiet)
        assert kept is not None and not kept.from_files and len(kept) == 100
        assert [int(kept.image(i)[0, 0, 0]) for i in chosen] == chosen
    assert images.decoded == [3, 5, 8, 8]  # 8 was forgotten in between


def test_too_many_images_are_noticed_after_a_few() -> None:
    originals = Originals(images := CountedImages(), most_bytes=90 * 300)
    assert originals.kept(np.arange(91), quiet) is None
    assert len(images.decoded) == 32
    assert originals.kept(np.arange(90), quiet) is not None
