"""Split a batch into parts that fit into memory one after another, and join what they give.

The number of parts is in the recipe, because batch norm sees one part at a time. Without batch norm
it only changes rounding, even where each sample is compared with all others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpc_xfer.compute.training.objective import Batch


def split(batch: Batch, parts: int) -> list[Batch]:
    """Split tensors (N, ...) into `parts` batches of (N / parts, ...), in order."""
    if parts == 1:
        return [batch]
    assert all(len(value) % parts == 0 for value in batch.values())
    chunks = [value.chunk(parts) for value in batch.values()]
    return [dict(zip(batch, part, strict=True)) for part in zip(*chunks, strict=True)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Join one feature of all parts, (n, d) each -> (N, d); a scalar is the same in all parts."""
    return torch.cat(list(parts)) if parts[0].ndim else parts[0].clone()


def divided(gradient: Tensor, parts: int) -> Sequence[Tensor]:
    """Split a gradient into parts, the reverse of `joined`; a scalar is shared out evenly."""
    return gradient.chunk(parts) if gradient.ndim else [gradient / parts] * parts
