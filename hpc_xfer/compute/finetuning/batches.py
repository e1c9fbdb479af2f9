"""Batches for fine-tuning (augmented images) and linear probes (features), by step number."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from hpc_xfer.compute.downstream.datasets import ImageSet
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.compute.images import crops
from hpc_xfer.compute.images.randaugment import randaugment
from hpc_xfer.compute.models.frozen_batchnorm import has_batchnorm
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.config.finetune_recipes import AdamWFinetune
from hpc_xfer.errors import DataError

_ERASED_SHARE = (0.02, 1 / 3)  # of the image area (Zhong et al. 2020)
_LOADED_BATCH = 32  # images; a view of a decoded photo takes 0.5 ms at 64 px and 0.9 at 224 px


def needs_loaders(images: ImageSet, batch: int, device: torch.device) -> bool:
    """True where processes that load ahead save time.

    To decode a photo takes 1 to 5 ms. Of decoded images a CPU makes views in less time than the
    processes take to start and to hand them over; only a GPU that trains on large batches waits.
    """
    return images.from_files or (device.type == "cuda" and batch >= _LOADED_BATCH)


def least_batch(recipe: AdamWFinetune, visual: nn.Module, images: int) -> int:
    """Return how many images each batch needs: two where batch norm computes their statistics.

    Raises:
        DataError: the recipe has no such batch.
    """
    if not recipe.trains_encoder or recipe.batch_norm == "frozen" or not has_batchnorm(visual):
        return 1
    if recipe.batch == 1:
        raise DataError(
            "batch: 1 gives batch norm the statistics of one image; write `batch: 2` or more, or "
            "`batch_norm: frozen`"
        )
    if images == 1:
        raise DataError(
            f"{recipe.dataset}: one training image gives batch norm no statistics; take more "
            "shots, or write `batch_norm: frozen`"
        )
    return 2


@dataclass
class EpochBatches:
    """Cut epochs of n samples into batches whose sizes differ by at most one.

    Batches of a fixed size could leave one image for the last batch: too few for batch norm. Three
    images in batches of 2 would still be 2 and 1; with `least` of 2 they are one batch of 3.
    """

    n: int
    batch: int
    epochs: int
    seed: tuple[int, ...]
    least: int = 1  # samples in each batch, as far as there are so many; at most batch

    @property
    def steps_per_epoch(self) -> int:
        return min(-(-self.n // self.batch), max(1, self.n // self.least))

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def at(self, step: int) -> tuple[int, Indices]:
        """The epoch and the samples of a step, as positions 0..n-1."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((*self.seed, 4, epoch)).permutation(self.n)
        return epoch, np.array_split(order, self.steps_per_epoch)[within]


class _BatchesByStep(ABC):
    """`self[step]` is the batch of a step; `pieces` are the share of one of several loaders."""

    epochs: EpochBatches

    @abstractmethod
    def _samples(self, epoch: int, positions: Indices) -> Batch: ...

    def __getitem__(self, step: int) -> Batch:
        return self._samples(*self.epochs.at(step))

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[Batch]:
        for epoch, positions in map(self.epochs.at, steps):
            own = np.array_split(positions, workers)[worker]
            yield self._samples(epoch, own) if len(own) else {}


@dataclass
class ImageBatches(_BatchesByStep):
    """Batches of augmented images: images uint8 (n, 3, S, S) and labels (n,)."""

    images: ImageSet
    chosen: Indices
    recipe: AdamWFinetune
    size: int  # S
    epochs: EpochBatches

    def _samples(self, epoch: int, positions: Indices) -> Batch:
        images = self.chosen[positions]
        views = [self._view(int(i), epoch) for i in images]
        return {
            "images": torch.stack(views),
            "labels": torch.from_numpy(self.images.labels[images]),
        }

    def _view(self, i: int, epoch: int) -> Tensor:
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, recipe.draw, 5, epoch, i))
        view = crops.random_view(self.images.image(i), rng, self.size, recipe.crop, recipe.flip)
        view = randaugment(view, rng, recipe.randaugment)
        return _erase(view, rng) if rng.random() < recipe.erase else view


@dataclass
class FeatureBatches(_BatchesByStep):
    """Batches of frozen features for a linear probe: features (n, dim) and labels (n,)."""

    features: Tensor
    labels: Tensor
    epochs: EpochBatches

    def _samples(self, epoch: int, positions: Indices) -> Batch:
        chosen = torch.from_numpy(positions)
        return {"features": self.features[chosen], "labels": self.labels[chosen]}


def _erase(view: Tensor, rng: Generator) -> Tensor:
    """Replace a random rectangle by noise."""
    side = view.shape[-1]
    area = side * side * rng.uniform(*_ERASED_SHARE)
    ratio = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
    height = int(min(max(round(np.sqrt(area * ratio)), 1), side))
    width = int(min(max(round(np.sqrt(area / ratio)), 1), side))
    top, left = rng.integers(side - height + 1), rng.integers(side - width + 1)
    out = view.clone()
    noise = rng.integers(0, 256, (view.shape[0], height, width), dtype=np.uint8)
    out[:, top : top + height, left : left + width] = torch.from_numpy(noise)
    return out
