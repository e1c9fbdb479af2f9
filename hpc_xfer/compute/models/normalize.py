"""Normalize pixels as an encoder expects them."""

import torch
from torch import Tensor, nn

from hpc_xfer.compute.models.encoders import Towers


class Normalize(nn.Module):
    """Map uint8 (..., 3, S, S) to floats, normalized as the encoder expects."""

    mean: Tensor
    std: Tensor

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in towers.normalization)
        self.register_buffer("mean", mean * 255, persistent=False)
        self.register_buffer("std", std * 255, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return channels last, which makes ModifiedResNet steps 1.2-1.4x faster on a CPU."""
        out = (full_precision(images) - self.mean) / self.std
        return out.contiguous(memory_format=torch.channels_last)


def full_precision(value: Tensor) -> Tensor:
    """Cast to single precision; double stays."""
    return value if value.dtype == torch.float64 else value.float()
