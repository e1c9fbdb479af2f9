"""A batch in parts that fit into memory one after another, and what belongs to them.

The number of parts is in the recipe: batch norm sees a part at a time. Without batch norm it
changes nothing but rounding, also where every sample is compared with all others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpc_xfer.compute.training.objective import Batch


def split(batch: Batch, parts: int) -> list[Batch]:
    """Tensors (N, ...) to `parts` batches of (N / parts, ...), in order."""
    if parts == 1:
        return [batch]
    assert all(len(value) % parts == 0 for value in batch.values())
    chunks = [value.chunk(parts) for value in batch.values()]
    return [dict(zip(batch, part, strict=True)) for part in zip(*chunks, strict=True)]


def joined(found: Sequence[Tensor]) -> Tensor:
    """A feature of all parts: (n, d) each -> (N, d); a scalar is the same in all."""
    return torch.cat(list(found)) if found[0].ndim else found[0].clone()


def divided(gradient: Tensor, parts: int) -> Sequence[Tensor]:
    """The reverse for its gradient; each part gets the like share of a scalar's."""
    return gradient.chunk(parts) if gradient.ndim else [gradient / parts] * parts
