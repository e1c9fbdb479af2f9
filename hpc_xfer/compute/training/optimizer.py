"""Warm-up, learning rate and AdamW."""

import math

from torch import nn
from torch.optim import AdamW


def warmup(wanted: int, steps: int) -> int:
    """Steps of warm-up, at most 10% of all: few-shot runs are shorter than the usual 500 steps."""
    return min(wanted, steps // 10)


def learning_rate(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    """Learning rate of a step from 0: linear warm-up to `peak`, then half a cosine to 0.

    Loshchilov and Hutter 2017, eq. 5.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    through = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * through))


def adamw(
    module: nn.Module, lr: float, weight_decay: float, betas: tuple[float, float], eps: float
) -> AdamW:
    """AdamW; weight decay for matrices and kernels, not for tensors of fewer than 2 dimensions."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    return AdamW(filled, lr=lr, betas=betas, eps=eps, fused=True)
