"""Put features on one scale, so that one path of penalties serves all encoders and dimensions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpc_xfer.errors import DataError


@dataclass(frozen=True)
class Scale:
    """Center and scale of the training images: their mean squared norm becomes 1."""

    center: Tensor  # (d,)
    spread: float

    def of(self, features: Tensor) -> Tensor:
        """(n, d) -> (n, d) in float64."""
        return (features.double() - self.center) / self.spread

    def undone(self, weights: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (classes, d) and bias (classes,) that give the same logits on raw features."""
        raw = weights / self.spread
        return raw, bias - raw @ self.center


def scale_of(features: Tensor) -> Scale:
    """Measure the training images (n, d).

    Raises:
        DataError: there is no image, or a feature is NaN or infinite.
    """
    if not len(features):
        raise DataError("a probe needs at least one training image; none was chosen")
    if not bool(features.isfinite().all()):
        row = int((~features.isfinite().all(dim=1)).nonzero()[0])
        raise DataError(f"the features of training image {row} are not finite; look at the encoder")
    features = features.double()
    center = features.mean(dim=0)
    spread = float((features - center).pow(2).sum(dim=1).mean().sqrt())
    return Scale(center, spread if spread > 1e-12 else 1.0)  # all images alike: nothing to scale


def principal_axes(features: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate centered features (n, d) into their span: coordinates (n, r), axes (r, d).

    r is at most min(n - 1, d): at one shot of ten classes a problem has 9 dimensions, not 1,024. A
    penalty on the norm of the weights has no part outside of the span.
    """
    if len(features) > features.shape[1]:
        values, vectors = torch.linalg.eigh(features.T @ features)
        kept = values > values[-1].clamp(min=0) * 1e-14
        axes = vectors[:, kept].T.flip(0)
    else:
        _, singular, rows = torch.linalg.svd(features, full_matrices=False)
        axes = rows[singular > singular[:1].clamp(min=0) * 1e-9]
    return features @ axes.T, axes
