"""Batch norm over the global batch, so that results do not depend on the number of GPUs.

torch's SyncBatchNorm needs CUDA; `GlobalBatchNorm` computes the same with collectives that gloo
has too. On n ranks, both give what BatchNorm gives in one process for the whole batch.
"""

import contextlib
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hpc_xfer.compute.distributed.collectives import sum_over_ranks
from hpc_xfer.compute.distributed.process_group import World


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm with statistics over all ranks; input (N, C, ...), with the same N on each."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        count = input.numel() // input.shape[1] * dist.get_world_size()
        x = input if input.dtype == torch.float64 else input.float()
        mean = sum_over_ranks(x.sum(dims)) / count
        centered = x - mean.view(shape)
        variance = sum_over_ranks((centered * centered).sum(dims)) / count
        self._update_running(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        out = centered * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        """Update running statistics from the mean and the unbiased variance (C,)."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum or 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def batchnorm_buffers(module: nn.Module) -> list[Tensor]:
    """Running statistics of all batch norms: the only buffers that a step changes."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [buffer for norm in norms for buffer in norm.buffers()]


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by those of `batches` under the current weights.

    After 20 few-shot steps, averages with momentum 0.1 still hold 12% of their initial values, and
    the rest comes from weights that have changed since (Wu and Johnson 2021, "Rethinking Batch",
    section 3). The module is in evaluation mode afterwards.

    Args:
        batches: inputs of `module`; not read if it has no batch norm.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    module.train()
    for batch in batches if norms else ():
        module(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


@contextlib.contextmanager
def preserve_statistics(module: nn.Module) -> Iterator[None]:
    """Restore the running statistics after a block that forwards a batch a second time.

    Inside they change: what is saved for the backward pass must not differ between the two
    forwards.
    """
    buffers = batchnorm_buffers(module)
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


def synchronize(module: nn.Module, world: World) -> nn.Module:
    """Make the batch norms of a module global; names and weights stay as they are."""
    if world.size == 1:
        return module
    if world.device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return converted
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, _global_twin(child))
        else:
            synchronize(child, world)
    return module


def _global_twin(norm: nn.modules.batchnorm._BatchNorm) -> GlobalBatchNorm:
    """A GlobalBatchNorm with the same parameters and buffers, which an optimizer may hold."""
    twin = GlobalBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    twin.weight, twin.bias = norm.weight, norm.bias
    twin.running_mean, twin.running_var = norm.running_mean, norm.running_var
    twin.num_batches_tracked = norm.num_batches_tracked
    return twin.train(norm.training)
