"""Patch dropout: in training, a vision transformer sees a random part of each image's patches.

Li et al. 2023, "Scaling Language-Image Pre-training via Masking" (FLIP). In evaluation mode it sees
all of them.
"""

import open_clip.transformer
import torch
from torch import Tensor, nn

from hpc_xfer.config.architectures import kept_patches
from hpc_xfer.errors import DataError


class PatchDropout(nn.Module):
    """Keep the class token and a random choice of the other tokens (N, 1 + patches, width).

    The same numbers as open_clip's on a CPU. That one draws on the CPU always, so a GPU would wait.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, tokens: Tensor) -> Tensor:
        if not self.training:
            return tokens
        first, patches = tokens[:, :1], tokens[:, 1:]
        images, count, width = patches.shape
        draws = torch.randn(images, count, device=tokens.device)
        chosen = draws.topk(kept_patches(count, self.share), dim=-1).indices
        kept = patches.gather(1, chosen[..., None].expand(-1, -1, width))
        return torch.cat((first, kept), dim=1)


def drop_patches(visual: nn.Module, share: float) -> None:
    """Drop this share of the patches in training; names and weights stay as they are.

    Random numbers are torch's; the training loop seeds them at each step.

    Raises:
        DataError: the encoder is not a vision transformer of open_clip.
    """
    assert 0 < share < 1
    if not isinstance(visual, open_clip.transformer.VisionTransformer):
        raise DataError(
            "patch_dropout is offered for vision transformers of open_clip, and this encoder is a "
            f"{type(visual).__name__}; remove patch_dropout"
        )
    visual.patch_dropout = PatchDropout(share)
