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

    def trained_features(self, batch: Batch) -> tuple[Tensor | None, ...]:
        """The features once more, for their gradients; None for one that has no gradient."""
        return self.features(batch)

    def forward(self, batch: Batch, gradients: tuple[Tensor, ...] | None = None) -> Tensor:
        """The loss ().

        If the gradients of the loss with respect to the features are given, return a scalar whose
        backward sends exactly these gradients through the encoder.
        """
        if gradients is None:
            return self.loss(*self.features(batch))
        pairs = zip(self.trained_features(batch), gradients, strict=True)
        return torch.stack([(v * g).sum() for v, g in pairs if v is not None]).sum()
