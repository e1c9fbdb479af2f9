"""Normalize over all ranks with the CUDA kernels of torch's SyncBatchNorm, without a host wait.

torch's own class asks each rank for its number of samples and leaves out ranks without any, and so
makes the host wait in every layer. Here the number is the same on each rank, and known.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function

from hpc_xfer.compute.distributed.collectives import gathered


@dataclass(frozen=True)
class Running:
    """Running statistics (C,), which a forward pass updates; None where nothing is tracked."""

    mean: Tensor | None
    variance: Tensor | None  # unbiased
    momentum: float


class Counts:
    """Number of values per channel of each rank, as tensors for the kernels; made once a shape."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def of(self, input: Tensor, ranks: int) -> tuple[Tensor, Tensor]:
        """Return them in the dtype of the statistics, and as int32.

        Args:
            input: (N, C, ...), of the same shape on each rank.
        """
        share = input.numel() // input.shape[1]
        kind = torch.float64 if input.dtype == torch.float64 else torch.float32
        key = (ranks, share, kind, input.device)
        if key not in self._made:
            counts = torch.full((ranks,), share, dtype=kind, device=input.device)
            self._made[key] = counts, counts.to(torch.int32)
        return self._made[key]


def exist_for(device: torch.device) -> bool:
    """True if torch has these kernels for a device: for GPUs, not for CPUs."""
    key = device.type.upper()
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key("aten::batch_norm_stats", key))


def normalize(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running: Running,
    eps: float,
    counts: tuple[Tensor, Tensor],
) -> Tensor:
    """Normalize (N, C, ...) by mean and variance over all ranks; update the running statistics."""
    out: Tensor = _Normalize.apply(input, weight, bias, running, eps, counts)
    return out


class _Normalize(Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running: Running,
        eps: float,
        counts: tuple[Tensor, Tensor],
    ) -> Tensor:
        ctx.layout = _layout(input)
        x = input.contiguous(memory_format=ctx.layout)
        own = torch.batch_norm_stats(x, eps)  # mean and inverse deviation, fp32 or fp64
        means, deviations = gathered(torch.stack(own)[None], len(counts[0])).unbind(1)
        mean, invstd = torch.batch_norm_gather_stats_with_counts(
            # The kernel wants counts in the dtype of what is tracked, else of this argument. Half
            # precision could not count beyond 65,504.
            x if running.mean is not None else means,
            means,
            deviations,
            running.mean,
            running.variance,
            running.momentum,
            eps,
            counts[0],
        )
        ctx.save_for_backward(x, weight, mean, invstd, counts[1])
        return torch.batch_norm_elemt(x, weight, bias, mean, invstd, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, invstd, counts = ctx.saved_tensors
        of_input, of_weight, of_bias = ctx.needs_input_grad[:3]
        dy = gradient.contiguous(memory_format=ctx.layout)
        sum_dy, sum_dy_xmu, d_weight, d_bias = torch.batch_norm_backward_reduce(
            dy, x, mean, invstd, weight, of_input, of_weight, of_bias
        )
        d_input = None
        if of_input:
            sums = torch.stack([sum_dy, sum_dy_xmu])
            dist.all_reduce(sums)
            d_input = torch.batch_norm_backward_elemt(
                dy, x, mean, invstd, weight, sums[0], sums[1], counts
            )
        # Those of weight and bias are of this rank; DistributedDataParallel sums them.
        own = (d_weight if of_weight else None, d_bias if of_bias else None)
        return d_input, *own, None, None, None


def _layout(input: Tensor) -> torch.memory_format:
    """Choose the layout in which the kernels read input and gradient."""
    dims = {4: torch.channels_last, 5: torch.channels_last_3d}
    wanted = dims.get(input.dim(), torch.contiguous_format)
    return wanted if input.is_contiguous(memory_format=wanted) else torch.contiguous_format
