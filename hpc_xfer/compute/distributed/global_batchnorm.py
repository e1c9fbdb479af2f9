"""Batch norm over the global batch, so that results do not depend on the number of GPUs.

On n ranks it gives what BatchNorm gives in one process for the whole batch. On a GPU it uses the
kernels of torch's SyncBatchNorm (norm_kernels.py), but the host never waits for them; on the CPU,
where these kernels do not exist, plain operations of torch.
"""

import contextlib
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hpc_xfer.compute.distributed import norm_kernels
from hpc_xfer.compute.distributed.collectives import sum_over_ranks
from hpc_xfer.compute.distributed.process_group import World


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm with statistics over all ranks; input (N, C, ...), of one shape on all of them."""

    def __init__(
        self, features: int, eps: float, momentum: float | None, affine: bool, tracked: bool
    ) -> None:
        super().__init__(features, eps, momentum, affine, tracked)
        self._counts = norm_kernels.Counts()

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        ranks = dist.get_world_size()
        count = input.numel() // input.shape[1] * ranks
        if count < 2:
            raise ValueError(f"expected more than 1 value per channel, got {tuple(input.shape)}")
        if norm_kernels.exist_for(input.device):
            return self._by_kernels(input, ranks)
        return self._by_formula(input, count)

    def _by_kernels(self, input: Tensor, ranks: int) -> Tensor:
        def normalize(running: norm_kernels.Running) -> Tensor:
            counts = self._counts.of(input, ranks)
            return norm_kernels.normalize(input, self.weight, self.bias, running, self.eps, counts)

        mean, variance, rate = self.running_mean, self.running_var, self._rate()
        if not isinstance(rate, Tensor):
            return normalize(norm_kernels.Running(mean, variance, rate))
        # The kernel would ask the host for the rate, which is on the device.
        assert mean is not None and variance is not None
        batch = torch.zeros_like(mean), torch.zeros_like(variance)
        out = normalize(norm_kernels.Running(*batch, 1.0))
        mean.lerp_(batch[0], rate)
        variance.lerp_(batch[1], rate)
        return out

    def _by_formula(self, input: Tensor, count: int) -> Tensor:
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        x = input if input.dtype == torch.float64 else input.float()
        mean = sum_over_ranks(x.sum(dims)) / count
        centered = x - mean.view(shape)
        variance = sum_over_ranks((centered * centered).sum(dims)) / count
        if self.running_mean is not None and self.running_var is not None:
            rate = self._rate()
            self.running_mean.lerp_(mean.detach(), rate)
            self.running_var.lerp_(variance.detach() * (count / (count - 1)), rate)
        out = centered * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _rate(self) -> float | Tensor:
        """Count this batch; return its weight in the running statistics.

        Without a momentum they are plain means, and the weight is a tensor on the device.
        """
        if self.num_batches_tracked is None:  # nothing is tracked
            return 0.0
        self.num_batches_tracked.add_(1)
        if self.momentum is not None:
            return self.momentum
        assert self.running_mean is not None
        return self.num_batches_tracked.to(self.running_mean.dtype).reciprocal()


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
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return _global_twin(module)
    for name, child in module.named_children():
        setattr(module, name, synchronize(child, world))
    return module


def take_from_rank_zero(module: nn.Module, world: World) -> None:
    """Copy the running statistics of rank 0 to all ranks, where norms count one rank alone.

    DistributedDataParallel does the same by default, in each step.
    """
    own = [
        buffer
        for norm in module.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
        and not isinstance(norm, GlobalBatchNorm)
        for buffer in norm.buffers()
        if buffer.is_floating_point()  # the numbers of batches are equal
    ]
    if world.size == 1 or not own:
        return
    joined = torch.cat(own)
    dist.broadcast(joined, 0)
    for buffer, value in zip(own, joined.split([len(each) for each in own]), strict=True):
        buffer.copy_(value)


def _global_twin(norm: nn.modules.batchnorm._BatchNorm) -> GlobalBatchNorm:
    """A GlobalBatchNorm with the same parameters and buffers, which an optimizer may hold."""
    twin = GlobalBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    twin.weight, twin.bias = norm.weight, norm.bias
    twin.running_mean, twin.running_var = norm.running_mean, norm.running_var
    twin.num_batches_tracked = norm.num_batches_tracked
    return twin.train(norm.training)
