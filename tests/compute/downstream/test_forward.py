"""An encoder applied to batches, with the next batch decoded meanwhile on a GPU."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from hpc_xfer.compute.downstream.forward import forward_all
from hpc_xfer.errors import DataError

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def numbers(sizes: list[int]) -> Iterator[Tensor]:
    first = 0
    for size in sizes:
        yield torch.arange(first, first + size, dtype=torch.float32)[:, None]
        first += size


@pytest.mark.parametrize("name", DEVICES)
def test_results_come_on_the_cpu_in_the_order_of_the_batches(name: str) -> None:
    found = forward_all(lambda batch: 2 * batch, numbers([3, 3, 2]), torch.device(name))
    assert found.device.type == "cpu" and not found.is_pinned()
    assert found.flatten().tolist() == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize("name", DEVICES)
def test_an_image_that_does_not_decode_ends_it_with_its_error(name: str) -> None:
    def broken() -> Iterator[Tensor]:
        yield torch.zeros(2, 1)
        raise DataError("image 2 is cut off")

    with pytest.raises(DataError, match="image 2 is cut off"):
        forward_all(lambda batch: batch, broken(), torch.device(name))


@pytest.mark.parametrize("name", DEVICES)
def test_an_error_of_the_encoder_leaves_no_thread(name: str) -> None:
    def fails(batch: Tensor) -> Tensor:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        forward_all(fails, numbers([2, 2, 2]), torch.device(name))
