"""Activation checkpointing: recompute the activations of residual blocks instead of keeping them.

Chen et al. 2016, "Training deep nets with sublinear memory cost". The second forward gives the same
bits and does not change the running statistics of batch norms.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from typing import Any

import open_clip.modified_resnet
import open_clip.transformer
import torch
import torchvision.models.resnet
from torch import nn
from torch.utils.checkpoint import checkpoint

from hpc_xfer.compute.distributed.global_batchnorm import preserve_statistics
from hpc_xfer.errors import DataError

_BLOCKS = (
    open_clip.modified_resnet.Bottleneck,
    open_clip.transformer.ResidualAttentionBlock,
    open_clip.transformer.CustomResidualAttentionBlock,
    torchvision.models.resnet.BasicBlock,
    torchvision.models.resnet.Bottleneck,
)


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Residual blocks of the known encoders."""
    return (child for child in module.modules() if isinstance(child, _BLOCKS))


def recompute_blocks(module: nn.Module) -> None:
    """Recompute activations of all blocks, in place; names and weights stay as they are.

    Raises:
        DataError: the module has no known block.
    """
    found = list(blocks(module))
    if not found:
        raise DataError(
            "this encoder has no residual blocks of open_clip or torchvision, which activation "
            "checkpointing needs; set resources.pretrain.activation_checkpointing to false"
        )
    for block in found:
        block.forward = _recomputing(block)


def _recomputing(block: nn.Module) -> Callable[..., Any]:
    forward = block.forward

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), preserve_statistics(block)

    @wraps(forward)
    def recomputing(*arguments: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*arguments, **named)
        return checkpoint(
            partial(forward, **named), *arguments, use_reentrant=False, context_fn=contexts
        )

    return recomputing
