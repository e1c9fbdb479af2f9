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

# torch 2.14 renamed them, and warns of the old names.
_NEW = hasattr(dist, "all_gather_single")
_all_gather = getattr(dist, "all_gather_single" if _NEW else "all_gather_into_tensor")
_reduce_scatter = getattr(dist, "reduce_scatter_single" if _NEW else "reduce_scatter_tensor")


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum a tensor over all ranks; it has the same shape on each."""
    total: Tensor = _Sum.apply(value)
    return total


def gather(value: Tensor, world: World) -> Tensor:
    """Concatenate the tensors of all ranks: (n, ...) -> (n * ranks, ...), in the order of ranks."""
    if world.size == 1:
        return value
    whole: Tensor = _Gather.apply(value, world.size)
    return whole


def gathered(value: Tensor, size: int) -> Tensor:
    """Concatenate tensors of equal shape in one call, without a gradient and without a host wait.

    Args:
        size: number of ranks.
    """
    whole = value.new_empty(size * len(value), *value.shape[1:])
    _all_gather(whole, value.contiguous())
    return whole


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
    def forward(ctx: Any, value: Tensor, size: int) -> Tensor:
        ctx.size = size
        return gathered(value, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _own_share_of_sum(gradient.contiguous(), ctx.size), None


def _own_share_of_sum(value: Tensor, size: int) -> Tensor:
    """Sum (n * ranks, ...) over ranks and return this rank's part (n, ...); others are not sent.

    On the CPU it adds in the order of ranks, so that a resumed run repeats each bit.
    """
    if value.device.type == "cpu":
        parts = torch.empty_like(value)
        dist.all_to_all_single(parts, value)
        total, *others = parts.chunk(size)
        for part in others:
            total = total + part
        return total
    share = value.new_empty(len(value) // size, *value.shape[1:])
    _reduce_scatter(share, value)
    return share
