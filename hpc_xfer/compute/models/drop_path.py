"""Stochastic depth: in training, skip residual branches at random (Huang et al. 2016).

Each image skips each branch on its own, and branches that are kept count for those that are not:
the expected output is that of the whole block. In evaluation mode nothing is skipped.
"""

from functools import partial
from typing import Any

import open_clip.transformer
import torch
from torch import Tensor, nn

from hpc_xfer.errors import DataError


def set_drop_path(visual: nn.Module, rate: float) -> None:
    """Skip attention and MLP of each block at rates from 0 in the first to `rate` in the last.

    Call it once, on the copy that is trained. Names and weights stay as they are. Random numbers
    are torch's, on the device of the images; the training loop seeds them at each step.

    Raises:
        DataError: the encoder is not a vision transformer of open_clip.
    """
    assert 0 <= rate < 1
    if not isinstance(visual, open_clip.transformer.VisionTransformer):
        raise DataError(
            "drop_path is offered for vision transformers of open_clip, and this encoder is a "
            f"{type(visual).__name__}; remove drop_path"
        )
    assert visual.transformer.batch_first
    blocks = list(visual.transformer.resblocks)
    for i, block in enumerate(blocks):
        share = rate * i / max(len(blocks) - 1, 1)
        for branch_end in (block.ls_1, block.ls_2) if share else ():
            branch_end.register_forward_hook(partial(_skip, share))


def _skip(share: float, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """Replace the branch (N, tokens, width) of a share of the images by zero, in training."""
    if not module.training:
        return output
    kept = torch.rand((len(output), 1, 1), device=output.device) >= share
    return torch.where(kept, output / (1 - share), 0)
