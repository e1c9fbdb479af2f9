"""Differentiable sum and gather over ranks, on any backend.

Those of torch.distributed.nn are deprecated since torch 2.14. The loss of each rank counts, so a
gradient is the sum over ranks; DistributedDataParallel then takes the mean.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import GradBucket
from torch.autograd import Function
from torch.futures import Future

from hpc_xfer.compute.distributed.process_group import World


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum a tensor over all ranks; it has the same shape on each."""
    total: Tensor = _Sum.apply(value)
    return total


def gather(value: Tensor, world: World) -> Tensor:
    """Concatenate the tensors of all ranks: (n, ...) -> (n * ranks, ...), in the order of ranks."""
    if world.size == 1:
        return value
    gathered: Tensor = _Gather.apply(value, world.rank, world.size)
    return gathered


def mean_in_order(size: int, bucket: GradBucket) -> Future[Tensor]:
    """Average gradients in the order of the ranks (a hook of DistributedDataParallel).

    gloo adds in an order that depends on the position of a gradient in its bucket, and the first
    step of a process has other buckets than later steps: a resumed run would differ in last bits.
    """
    own = bucket.buffer()
    parts = [torch.empty_like(own) for _ in range(size)]
    dist.all_gather(parts, own)
    total = parts[0]
    for part in parts[1:]:
        total += part
    done: Future[Tensor] = Future()
    done.set_result(total.div_(size))
    return done


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.n = rank, len(value)
        parts = [
            torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(size)
        ]
        dist.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.rank * ctx.n : (ctx.rank + 1) * ctx.n], None, None
