"""torch's five kernels of SyncBatchNorm by their formulas, where torch has them for CUDA only.

They take what the kernels in aten/native/cuda/Normalization.cu take, and refuse what those refuse.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def kernels(key: str) -> Iterator[None]:
    """Register them for the CPU, or for "Meta", which fake tensors of any device use."""
    library = torch.library.Library("aten", "IMPL")
    for function in (stats, gather_stats_with_counts, elemt, backward_reduce, backward_elemt):
        library.impl(f"batch_norm_{function.__name__}", function, key)
    try:
        yield
    finally:
        library._destroy()


def stats(input: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    x = wide(input)
    variance, mean = torch.var_mean(x, over(x), correction=0)
    return mean, (variance + eps).rsqrt()


def gather_stats_with_counts(
    input: Tensor,
    mean: Tensor,
    invstd: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:
    assert counts.dtype == (input if running_mean is None else running_mean).dtype
    assert mean.shape == invstd.shape == (len(counts), mean.shape[1])
    share = counts[:, None] / counts.sum()
    whole = (mean * share).sum(0)
    variance = ((invstd**-2 - eps + (mean - whole) ** 2) * share).sum(0)
    if running_mean is not None and running_var is not None:
        unbiased = variance * counts.sum() / (counts.sum() - 1)
        running_mean.mul_(1 - momentum).add_(whole * momentum)
        running_var.mul_(1 - momentum).add_(unbiased * momentum)
    return whole, (variance + eps).rsqrt()


def elemt(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    invstd: Tensor,
    eps: float,
) -> Tensor:
    out = (wide(input) - along(mean, input)) * along(invstd, input)
    if weight is not None and bias is not None:
        assert weight.dtype == bias.dtype == mean.dtype
        out = out * along(weight, input) + along(bias, input)
    return out.to(input.dtype)


def backward_reduce(
    grad_out: Tensor,
    input: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    input_g: bool,
    weight_g: bool,
    bias_g: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert grad_out.dtype == input.dtype and same_layout(grad_out, input)
    dy = wide(grad_out)
    total = dy.sum(over(dy))
    by_x = (dy * (wide(input) - along(mean, input))).sum(over(dy))
    return total, by_x, by_x * invstd, total.clone()


def backward_elemt(
    grad_out: Tensor,
    input: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    sum_dy: Tensor,
    sum_dy_xmu: Tensor,
    count: Tensor,
) -> Tensor:
    assert count.dtype == torch.int32 and same_layout(grad_out, input)
    assert sum_dy.dtype == sum_dy_xmu.dtype == mean.dtype
    n = count.sum()
    centered = wide(input) - along(mean, input)
    slope = along(invstd**2 * sum_dy_xmu / n, input)
    found = wide(grad_out) - along(sum_dy / n, input) - centered * slope
    scale = invstd if weight is None else invstd * weight
    return (found * along(scale, input)).to(input.dtype)


def same_layout(one: Tensor, two: Tensor) -> bool:
    """True if both take the kernels for channels last, or both those for plain tensors."""
    kinds = (torch.contiguous_format, torch.channels_last, torch.channels_last_3d)
    fits = [kind for kind in kinds if kind == kinds[0] or one.dim() == kinds.index(kind) + 3]
    return any(all(x.is_contiguous(memory_format=kind) for x in (one, two)) for kind in fits)


def wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def over(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def along(values: Tensor, x: Tensor) -> Tensor:
    """View values of channels so that they spread over `x`."""
    return values.view(1, -1, *[1] * (x.dim() - 2))
