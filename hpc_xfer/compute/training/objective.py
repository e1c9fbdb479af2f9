"""Batches, and the interface of a contrastive objective: features first, then the loss."""

from typing import Any

import torch
from torch import Tensor, nn

Batch = dict[str, Any]


class Contrastive(nn.Module):
    """A loss over pairs of samples, in two halves that accumulation calls apart (step.py)."""

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        """Inputs of the loss: (N, d) each, or () for one that all samples share."""
        raise NotImplementedError

    def loss(self, *features: Tensor) -> Tensor:
        """The loss (), computed from the features of all ranks."""
        raise NotImplementedError

    def forward(self, batch: Batch, gradients: tuple[Tensor, ...] | None = None) -> Tensor:
        """The loss ().

        If the gradients of the loss with respect to the features are given, return a scalar whose
        backward sends exactly these gradients through the encoder.
        """
        features = self.features(batch)
        if gradients is None:
            return self.loss(*features)
        pairs = zip(features, gradients, strict=True)
        return torch.stack([(value * gradient).sum() for value, gradient in pairs]).sum()
