"""Batch norm over the global batch, so that the number of GPUs changes no result.

torch's SyncBatchNorm needs CUDA; `GlobalBatchNorm` is the same arithmetic with collectives that
gloo has too. Both give, on n ranks, what BatchNorm gives in one process on the whole batch.
"""

import contextlib
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hpc_xfer.compute.distributed.collectives import sum_over_ranks
from hpc_xfer.compute.distributed.process_group import World


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Statistics over all ranks; input (N, C, ...) with the same N on every rank."""

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
        centred = x - mean.view(shape)
        variance = sum_over_ranks((centred * centred).sum(dims)) / count
        self._remember(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, the variance unbiased as in BatchNorm."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum or 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def batchnorm_buffers(module: nn.Module) -> list[Tensor]:
    """What its batch norms remember; no other buffer changes in a step."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [buffer for norm in norms for buffer in norm.buffers()]


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by those of `batches` under the final weights.

    After 20 few-shot steps, averages with momentum 0.1 still hold 12% of the values they began
    with, and the weights they belong to are gone (Wu and Johnson 2021, "Rethinking Batch",
    section 3). Leaves the module in evaluation mode.

    Args:
        batches: inputs of `module`.
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
    """What goes through the module here is normalised as in training and leaves no statistics.

    For a second forward of the same batch. The statistics are put back instead of being kept from
    changing: what is saved for the backward pass must not differ between the two.
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
    """The module with batch norms over all ranks; names and weights stay as they are."""
    if world.size == 1:
        return module
    if world.device.type == "cuda":
        synchronised: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return synchronised
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, _globalised(child))
        else:
            synchronize(child, world)
    return module


def _globalised(norm: nn.modules.batchnorm._BatchNorm) -> GlobalBatchNorm:
    """The same parameters and buffers, not copies: an optimiser may hold them already."""
    twin = GlobalBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    twin.weight, twin.bias = norm.weight, norm.bias
    twin.running_mean, twin.running_var = norm.running_mean, norm.running_var
    twin.num_batches_tracked = norm.num_batches_tracked
    return twin.train(norm.training)
