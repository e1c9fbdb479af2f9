"""Ridge regression to one-hot targets: closed form, one decomposition for the whole path.

    minimize  1/(2n) |Y - X W - b|^2 + l2 / 2 * |W|^2          (the bias has no penalty)

Its leave-one-out predictions are exact and cost no refit (Hastie, Tibshirani and Friedman 2009,
section 7.10): the residual over 1 - leverage, where the leverage includes the bias. The total
penalty, n * l2, and the scale of the features stay those of all n images.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

_FEWEST, _MOST = -2.0, 3.0  # log10 of the factors of scores
_FACTORS = 11  # at once, around the best of the ten times coarser ones before


class RidgePath:
    """The classifiers of a path; scores (n, classes) are near 0 and 1."""

    def __init__(self, features: Tensor, labels: Tensor, classes: int) -> None:
        """
        Args:
            features: float64 (n, r), centered, with orthogonal columns (see `principal_axes`).
            labels: int64 (n,).
            classes: number of classes.
        """
        self.features, self.labels = features, labels
        self.targets = F.one_hot(labels, classes).to(features.dtype)
        self.mean = self.targets.mean(dim=0)
        self.power = features.pow(2).sum(dim=0)  # n times the variance along each axis
        self.products = features.T @ (self.targets - self.mean)
        self._factors: dict[float, float] = {}  # l2 -> temperature

    def weights(self, l2: float) -> tuple[Tensor, Tensor]:
        """Weights (classes, r) and bias (classes,)."""
        return (self.products / self._shrunk(l2)[:, None]).T, self.mean

    def scores(self, features: Tensor, l2: float) -> Tensor:
        """(m, r) -> (m, classes)."""
        weights, bias = self.weights(l2)
        return features @ weights.T + bias

    def left_out_scores(self, l2: float) -> Tensor:
        """Scores (n, classes) of each training image by the classifier fitted without it."""
        fitted = self.scores(self.features, l2)
        leverage = 1 / len(self.features) + (self.features.pow(2) / self._shrunk(l2)).sum(dim=1)
        left = (1 - leverage).clamp(min=1e-10)  # 0 for an image that alone decides its own fit
        return self.targets - (self.targets - fitted) / left[:, None]

    def temperature(self, l2: float) -> float:
        """Factor that makes scores logits: the best for the left-out training images.

        It changes likelihood and calibration, and no accuracy. The loss is convex in the factor, so
        a fine search around the best of a coarse one finds it.
        """
        if l2 not in self._factors:
            scores = self.left_out_scores(l2)
            own = scores.gather(1, self.labels[:, None]).mean()
            low, high = _FEWEST, _MOST
            for _ in range(3):
                factors = torch.logspace(low, high, _FACTORS, dtype=scores.dtype).to(scores.device)
                spread = torch.logsumexp(factors[:, None, None] * scores, dim=2).mean(dim=1)
                best, step = int((spread - factors * own).argmin()), (high - low) / (_FACTORS - 1)
                low, high = low + (best - 1) * step, low + (best + 1) * step
            self._factors[l2] = float(factors[best])
        return self._factors[l2]

    def _shrunk(self, l2: float) -> Tensor:
        return self.power + len(self.features) * l2


def logits_of_path(path: RidgePath, features: Tensor, penalties: Iterable[float]) -> Tensor:
    """Logits (v, m, classes) at each penalty."""
    return torch.stack([path.temperature(l2) * path.scores(features, l2) for l2 in penalties])
