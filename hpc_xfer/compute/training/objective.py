"""The interface of an objective: a loss over a batch, whole or in two halves for accumulation."""

from typing import Any

import torch
from torch import Tensor, nn

Batch = dict[str, Any]


class Contrastive(nn.Module):
    """A loss over pairs of samples, in two halves: accumulation (step.py) needs them apart."""

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the loss is made of: (N, d) each, or () where it is the same for all samples."""
        raise NotImplementedError

    def loss(self, *features: Tensor) -> Tensor:
        """() over the features of all ranks."""
        raise NotImplementedError

    def forward(self, batch: Batch, upstream: tuple[Tensor, ...] | None = None) -> Tensor:
        """The loss; or with `upstream`, its gradient at the features, what has that gradient."""
        features = self.features(batch)
        if upstream is None:
            return self.loss(*features)
        pairs = zip(features, upstream, strict=True)
        return torch.stack([(value * gradient).sum() for value, gradient in pairs]).sum()
