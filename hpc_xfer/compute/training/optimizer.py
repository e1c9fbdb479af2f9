"""Warm-up, learning rate and AdamW."""

import math
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim import AdamW

from hpc_xfer.compute.models.layer_depths import layer_depths


def warmup(wanted: int, steps: int, cap: bool = True) -> int:
    """Steps of warm-up, at most 10% of all: few-shot runs are shorter than the usual 500 steps.

    Args:
        cap: without it, a run of fewer steps than are wanted never reaches its learning rate.
    """
    return min(wanted, steps // 10) if cap else wanted


def learning_rate(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    """Learning rate of a step from 0: linear warm-up to `peak`, then half a cosine to 0.

    Loshchilov and Hutter 2017, eq. 5.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    through = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * through))


def adamw(
    module: nn.Module,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    *,
    layer_decay: float | None = None,
    decay_all: bool = False,
) -> AdamW:
    """AdamW; weight decay for matrices and kernels, not for tensors of fewer than 2 dimensions.

    Position embeddings are matrices too, so they decay.

    Args:
        layer_decay: factor of the learning rate from one layer to the one below it, so that early
            layers change less (Clark et al. 2020, section 3.1; layers as in layer_depths.py). Each
            group has its factor as `lr_scale`, which the step multiplies by.
        decay_all: decay all parameters, biases and norms too.

    Raises:
        DataError: layer_decay for an encoder whose layers are not known.
    """
    groups: list[dict[str, Any]] = []
    for scale, parameters in _by_layer(module, layer_decay):
        decayed = [p for p in parameters if decay_all or p.ndim >= 2]
        plain = [p for p in parameters if not decay_all and p.ndim < 2]
        groups.append({"params": decayed, "weight_decay": weight_decay, **scale})
        groups.append({"params": plain, "weight_decay": 0.0, **scale})
    filled = [group for group in groups if group["params"]]
    return AdamW(filled, lr=lr, betas=betas, eps=eps, fused=True)


def _by_layer(
    module: nn.Module, layer_decay: float | None
) -> Iterator[tuple[dict[str, float], list[nn.Parameter]]]:
    """Yield the trained parameters of each layer with its scale, from the stem to the head."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if layer_decay is None:
        yield {}, list(trained.values())
        return
    depths = layer_depths(module)
    last = max(depths.values())
    for depth in sorted({depths[name] for name in trained}):
        scale = layer_decay ** (last - depth)
        yield {"lr_scale": scale}, [p for name, p in trained.items() if depths[name] == depth]
