"""Gather values of all ranks as tensors and JSON: nothing that is received can be code."""

import json
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


def gather_json(value: list[Item], size: int) -> list[Item]:
    """Concatenate the lists of all ranks, in the order of ranks; items are values of JSON.

    Args:
        size: number of ranks.
    """
    data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    items: list[Item] = []
    for part in _gather_parts(data, size):
        items += json.loads(part.numpy().tobytes())
    return items


def gather_rows(value: Tensor, size: int) -> Tensor:
    """Concatenate the rows of all ranks, (n, ...) on the CPU, in the order of ranks."""
    return torch.cat(_gather_parts(value, size))


def _gather_parts(value: Tensor, size: int) -> list[Tensor]:
    """Return the tensors of all ranks, which differ in their first size alone."""
    own = torch.tensor([len(value)])
    lengths = [torch.empty_like(own) for _ in range(size)]
    dist.all_gather(lengths, own)
    counts = [int(length) for length in lengths]
    padded = value.new_zeros(max(counts), *value.shape[1:])
    padded[: len(value)] = value
    parts = [torch.empty_like(padded) for _ in range(size)]
    dist.all_gather(parts, padded)
    return [part[:count] for part, count in zip(parts, counts, strict=True)]
