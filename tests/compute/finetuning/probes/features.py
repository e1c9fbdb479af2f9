"""Made-up features: classes that overlap, on the unit sphere, with a common offset."""

import torch
from torch import Tensor
from torch.nn import functional as F

CLASSES, DIM = 6, 16


def labeled(
    per_class: int, seed: int, classes: int = CLASSES, dim: int = DIM
) -> tuple[Tensor, Tensor]:
    """Unit features (n, dim) in fp32, and labels (n,)."""
    centers = 0.7 * torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(CLASSES).repeat(per_class)
    noise = torch.randn(len(labels), DIM, generator=torch.Generator().manual_seed(seed))
    return F.normalize(centers[labels] + noise + 0.5, dim=-1), labels
