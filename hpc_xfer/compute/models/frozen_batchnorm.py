"""Batch norm that normalizes by the parent's statistics during fine-tuning, and keeps them."""

from typing import Any

from torch import nn


def has_batchnorm(module: nn.Module) -> bool:
    """Tell whether a module normalizes by statistics of its batches."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())


def freeze_batchnorm(module: nn.Module) -> None:
    """Use running statistics in training mode too, and never update them; scales and shifts train.

    It lasts: `train()` and `eval()` may be called afterwards, as the training loop does. With it a
    batch may have one image. Names and weights stay as they are. Do not call
    `global_batchnorm.recalibrate` on the module: no batch would fill the statistics again.
    """
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.register_forward_pre_hook(_without_batch_statistics)


def _without_batch_statistics(norm: nn.Module, inputs: Any) -> None:
    norm.training = False
