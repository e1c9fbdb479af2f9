"""k-NN accuracy of an encoder during training, on images that it is not trained on.

    probe = KnnProbe(objective, images, towers, most, world, precision, liveness)
    probe.accuracy()      # all ranks call it; each takes its share of the images

Weighted votes of the 20 nearest by cosine, temperature 0.07 (Wu et al. 2018, section 3.4, with the
settings of Caron et al. 2021). It does not affect the training: it draws no random number and
changes no statistic.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.downstream.datasets import ImageSet
from hpc_xfer.compute.downstream.eval_images import EvalImages
from hpc_xfer.compute.downstream.forward import forward_all
from hpc_xfer.compute.downstream.splits import Indices, hold_out
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.pretraining.objectives import PretrainObjective
from hpc_xfer.compute.training.gpu_arithmetic import autocast, products
from hpc_xfer.store.heartbeat import Liveness

_NEIGHBORS = 20
_TEMPERATURE = 0.07
_VALIDATION = 0.2  # of the training images, as fine-tunings hold out
_SEED = 0


@dataclass(frozen=True, eq=False)
class ProbeImages:
    """Some images of a data set; each rank takes every `ranks`-th."""

    views: EvalImages
    chosen: Indices  # of all ranks

    def share(self, world: World) -> Indices:
        return self.chosen[world.rank :: world.size]


class KnnProbe:
    """Classifies validation images by neighbors among training images; never test images."""

    def __init__(
        self,
        objective: PretrainObjective,
        images: ImageSet,
        towers: Towers,
        most: int,
        world: World,
        precision: str,
        liveness: Liveness,
    ) -> None:
        """
        Args:
            objective: with the visual tower of `towers`.
            images: the training images of a data set.
            most: training images to compare with; a quarter as many are classified.
        """
        self.objective, self.world = objective, world
        self.precision, self.liveness = precision, liveness
        self.labels, self.dim = torch.from_numpy(images.labels), towers.dim
        split = hold_out(images.labels, _VALIDATION, _SEED)
        views = EvalImages(images, towers.image_size)
        self.bank = ProbeImages(views, _some(split.train, most))
        self.queries = ProbeImages(views, _some(split.validation, max(1, most // 4)))

    def decode(self) -> None:
        """Decode this rank's images, so that a damaged one is found before the training.

        They stay in memory, as far as it allows.

        Raises:
            DataError: an image cannot be decoded.
        """
        for images in (self.bank, self.queries):
            share = images.share(self.world)
            if len(share):
                for _ in images.views.batches(share, self.liveness.touch):
                    pass

    @torch.no_grad()
    def accuracy(self) -> float:
        """Share of queries that are classified correctly; the same on all ranks."""
        training = self.objective.training
        self.objective.eval()
        bank, known = self._gathered(self.bank)
        found = self._features(self.queries)
        guesses = vote(found, bank, known)
        right = guesses.eq(self._labels(self.queries))
        self.objective.train(training)
        return float(np.mean(self.world.gather(right.tolist())))

    def _gathered(self, images: ProbeImages) -> tuple[Tensor, Tensor]:
        """Gather features and labels of all ranks' shares."""
        features = self.world.gather_rows(self._features(images))
        return features, self.world.gather_rows(self._labels(images))

    def _labels(self, images: ProbeImages) -> Tensor:
        return self.labels[images.share(self.world)]

    def _features(self, images: ProbeImages) -> Tensor:
        """Compute unit features of this rank's share: (n, dim), on the CPU."""
        share, device = images.share(self.world), self.world.device
        if not len(share):  # more ranks than images
            return torch.zeros(0, self.dim)
        batches = self.liveness.with_liveness(images.views.batches(share))
        with products(device, self.precision):
            return forward_all(self._forward, iter(batches), device)

    def _forward(self, batch: Tensor) -> Tensor:
        with autocast(self.world.device, self.precision):
            features = self.objective.visual(self.objective.normalize(batch))
        return F.normalize(features.float(), dim=-1)


def vote(queries: Tensor, bank: Tensor, labels: Tensor) -> Tensor:
    """Predict the class of each query.

    Args:
        queries, bank: unit features (n, dim) and (m, dim).
        labels: classes of the bank (m,).
    """
    near, which = (queries @ bank.T).topk(min(_NEIGHBORS, len(bank)), dim=1)
    votes = torch.zeros(len(queries), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[which], (near / _TEMPERATURE).exp())
    return votes.argmax(dim=1)


def _some(chosen: Indices, most: int) -> Indices:
    """Draw at most `most` images, the same for all pre-trainings, so that their curves compare."""
    return np.random.default_rng((_SEED, 12)).permutation(chosen)[:most]
