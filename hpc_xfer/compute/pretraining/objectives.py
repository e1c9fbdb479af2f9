"""Objectives: one nn.Module per method, from a batch on the device to a scalar loss.

Every loss is over the global batch: features of all ranks are gathered with their gradients, so
that the mean over ranks (which DistributedDataParallel takes) equals the loss of one process. Rows
are the samples of this rank, columns those of all ranks, so the matrix of logits grows with the
number of ranks, not with its square (open_clip's local_loss with gather_with_grad). Under autocast
the towers and the projection of SimCLR are in half precision; the head of `supervised` and the
losses are not: logits reach 100, where neighboring bf16 values differ by 0.5.

Batches are dicts of tensors; N is the rank's share of the global batch.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from hpc_xfer.compute.distributed.collectives import gather
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.images import color_jitter
from hpc_xfer.compute.models.encoders import Towers, seeded
from hpc_xfer.compute.models.normalize import Normalize, full_precision
from hpc_xfer.compute.training.objective import Batch, Contrastive
from hpc_xfer.config.recipes import Clip, ImageText, SigLIP, SimCLR, Supervised, Trained

_COLUMNS = 4096  # texts per block of logits: 64 MB for as many images


class PretrainObjective(nn.Module):
    """The base of all objectives: the visual tower and what a method trains besides it."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.normalize, self.visual = Normalize(towers), towers.visual

    def write_heads(self, towers: Towers, classes: tuple[str, ...] | None) -> None:
        """Copy heads and scalars that the saved encoder keeps into `towers`; here, none.

        Args:
            classes: names of the source's classes.
        """


class ImageTextObjective(PretrainObjective, Contrastive):
    """Two towers with a joint space, and the learned temperature of their similarities."""

    def __init__(self, towers: Towers, recipe: ImageText, world: World, scale: Tensor) -> None:
        """
        Args:
            scale: log of the inverse temperature at the start.
        """
        super().__init__(towers)
        assert towers.text is not None
        self.text, self.projection, self.world = towers.text, towers.projection, world
        self.logit_scale = nn.Parameter(scale)
        self.lock = recipe.lock
        if self.lock is not None:
            self._locked.requires_grad_(False)
        limit = recipe.max_logit_scale
        self.limit = math.inf if limit is None else torch.tensor(limit).log().item()

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        """images (N, 3, S, S) uint8, tokens (N, context) -> images, texts, logit scale."""
        with torch.no_grad():  # in the graph, a value beyond the limit would get no gradient
            self.logit_scale.clamp_(0, self.limit)
        return self._image(batch), self._text(batch), self.logit_scale.exp()

    def trained_features(self, batch: Batch) -> tuple[Tensor | None, ...]:
        """A locked tower is not computed again, unless a trained projection follows it."""
        has_image = self.lock != "image" or self.projection is not None
        image = self._image(batch) if has_image else None
        text = None if self.lock == "text" else self._text(batch)
        return image, text, self.logit_scale.exp()

    def train(self, mode: bool = True) -> "ImageTextObjective":
        """Keep a locked tower in evaluation mode: no dropout, running statistics as they are."""
        super().train(mode)
        if self.lock is not None:
            self._locked.eval()
        return self

    @property
    def _locked(self) -> nn.Module:
        return self.visual if self.lock == "image" else self.text

    def _image(self, batch: Batch) -> Tensor:
        with _without_gradients(self.lock == "image"):
            features = self.visual(self.normalize(batch["images"]))
        if self.projection is not None:
            features = self.projection(features)
        return F.normalize(full_precision(features), dim=-1)

    def _text(self, batch: Batch) -> Tensor:
        with _without_gradients(self.lock == "text"):
            features = self.text(batch["tokens"])
        return F.normalize(full_precision(features), dim=-1)

    def write_heads(self, towers: Towers, classes: tuple[str, ...] | None) -> None:
        towers.logit_scale = self.logit_scale.detach().clamp(0, self.limit).cpu()


class ClipObjective(ImageTextObjective):
    """InfoNCE between images and captions (Radford et al. 2021, fig. 3)."""

    def __init__(self, towers: Towers, recipe: Clip, world: World, classes: int) -> None:
        assert towers.logit_scale is not None
        super().__init__(towers, recipe, world, towers.logit_scale.clone())

    def loss(self, *features: Tensor) -> Tensor:
        """images (N, d), texts (N, d), scale () -> ()."""
        image, text, scale = features
        with torch.autocast(image.device.type, enabled=False):
            return info_nce(image, text, scale, self.world)


class SigLIPObjective(ImageTextObjective):
    """Pairwise sigmoid loss between images and captions (Zhai et al. 2023, algorithm 1)."""

    def __init__(self, towers: Towers, recipe: SigLIP, world: World, classes: int) -> None:
        # Scale and bias belong together: those of the loss, unless the weights of `init` have both.
        scale, bias = torch.tensor(10.0).log(), torch.tensor(-10.0)
        if towers.logit_scale is not None and towers.logit_bias is not None:
            scale, bias = towers.logit_scale.clone(), towers.logit_bias.clone()
        super().__init__(towers, recipe, world, scale)
        self.logit_bias = nn.Parameter(bias)

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        """images (N, 3, S, S) uint8, tokens (N, context) -> images, texts, logit scale, bias."""
        return *super().features(batch), self.logit_bias.clone()  # a value, not the parameter

    def trained_features(self, batch: Batch) -> tuple[Tensor | None, ...]:
        return *super().trained_features(batch), self.logit_bias.clone()

    def loss(self, *features: Tensor) -> Tensor:
        """images (N, d), texts (N, d), scale (), bias () -> ()."""
        image, text, scale, bias = features
        with torch.autocast(image.device.type, enabled=False):
            return pairwise_sigmoid(image, text, scale, bias, self.world)

    def write_heads(self, towers: Towers, classes: tuple[str, ...] | None) -> None:
        super().write_heads(towers, classes)
        towers.logit_bias = self.logit_bias.detach().cpu()


class SimCLRObjective(PretrainObjective, Contrastive):
    """NT-Xent over two augmented views (Chen et al. 2020, eq. 1), projection head as in SLIP."""

    def __init__(self, towers: Towers, recipe: SimCLR, world: World, classes: int) -> None:
        super().__init__(towers)
        self.head = _projection(towers.dim, recipe.projection)
        self.temperature, self.world = recipe.temperature, world

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """images (N, 2, 3, S, S) uint8, color (N, 2, k), see color_jitter.py -> two views."""
        images, color = batch["images"].transpose(0, 1), batch["color"].transpose(0, 1)
        with torch.autocast(images.device.type, enabled=False):  # bf16 has 8 bits, like pixels
            views = color_jitter.apply(images.flatten(0, 1), color.flatten(0, 1))
        z = F.normalize(full_precision(self.head(self.visual(self.normalize(views)))), dim=-1)
        first, second = z.chunk(2)
        return first, second

    def loss(self, *features: Tensor) -> Tensor:
        """Two views (N, d) of the same images -> ()."""
        first, second = features
        with torch.autocast(first.device.type, enabled=False):
            return nt_xent(first, second, self.temperature, self.world)


class SupervisedObjective(PretrainObjective):
    """Cross-entropy over the classes of the source."""

    def __init__(self, towers: Towers, recipe: Supervised, world: World, classes: int) -> None:
        super().__init__(towers)
        self.head = nn.Linear(towers.dim, classes)
        self.smoothing = recipe.label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        """images (N, 3, S, S) uint8, labels (N,) -> ()."""
        features = full_precision(self.visual(self.normalize(batch["images"])))
        with torch.autocast(features.device.type, enabled=False):
            logits = self.head(features)
        return F.cross_entropy(logits, batch["labels"], label_smoothing=self.smoothing)

    def write_heads(self, towers: Towers, classes: tuple[str, ...] | None) -> None:
        towers.classes, towers.head = classes, self.head


OBJECTIVES: dict[str, Callable[[Towers, Any, World, int], PretrainObjective]] = {
    "clip": ClipObjective,
    "siglip": SigLIPObjective,
    "simclr": SimCLRObjective,
    "supervised": SupervisedObjective,
}


def make_objective(
    recipe: Trained, towers: Towers, classes: int, world: World
) -> PretrainObjective:
    """Make the loss module of a recipe's method; heads start from the recipe's seed."""
    with seeded(recipe.seed + 1):
        return OBJECTIVES[recipe.method](towers, recipe, world, classes)


def _without_gradients(locked: bool) -> AbstractContextManager[object]:
    return torch.no_grad() if locked else nullcontext()


def info_nce(image: Tensor, text: Tensor, scale: Tensor, world: World) -> Tensor:
    """Cross-entropy of images over texts and of texts over images, as rows of this rank.

    Equals open_clip.ClipLoss with local_loss and gather_with_grad.

    Args:
        image, text: (N, d) unit vectors of the same N samples.
    """
    partner = torch.arange(len(image), device=image.device) + world.rank * len(image)
    of_images = F.cross_entropy(scale * image @ gather(text, world).T, partner)
    of_texts = F.cross_entropy(scale * text @ gather(image, world).T, partner)
    return (of_images + of_texts) / 2


def pairwise_sigmoid(
    image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, world: World, columns: int = _COLUMNS
) -> Tensor:
    """Classify each pair of image and text alone: belong together, or not.

    Equals open_clip.loss.SigLipLoss: the sum over the images of this rank and the texts of all
    ranks, divided by the number of images. Logits are computed `columns` texts at a time, and again
    in the backward pass, so that memory grows with the batch and not with its square.

    Args:
        image, text: (N, d) unit vectors of the same N samples.
    """
    texts, own = gather(text, world), world.rank * len(image)
    total = image.new_zeros(())
    for start in range(0, len(texts), columns):
        part = (image, texts[start : start + columns], scale, bias, own - start)
        loss: Tensor = checkpoint(
            _sigmoid_sum, *part, use_reentrant=False, preserve_rng_state=False
        )
        total = total + loss
    return total / len(image)


def _sigmoid_sum(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, first: int) -> Tensor:
    """Sum the loss of all pairs; image i belongs to text `first + i`, if that is among them."""
    columns = torch.arange(len(text), device=text.device)
    partner = torch.arange(len(image), device=image.device) + first
    logits = scale * image @ text.T + bias
    return -F.logsigmoid(torch.where(columns == partner[:, None], logits, -logits)).sum()


def nt_xent(first: Tensor, second: Tensor, temperature: float, world: World) -> Tensor:
    """Normalized temperature-scaled cross-entropy, as rows of this rank.

    Args:
        first, second: (N, d) unit vectors, two views of the same N images.
    """
    everything = torch.cat([gather(first, world), gather(second, world)])  # (2 * N * ranks, d)
    n, total = len(first), len(first) * world.size
    positions = torch.arange(n, device=first.device) + world.rank * n
    own = torch.cat([positions, positions + total])
    logits = torch.cat([first, second]) @ everything.T / temperature
    # A view is not its own negative. To assign a number with [] makes the host wait for the GPU.
    logits.scatter_(1, own[:, None], float("-inf"))
    partner = torch.cat([positions + total, positions])
    return F.cross_entropy(logits, partner)


def _projection(inside: int, widths: tuple[int, int, int]) -> nn.Sequential:
    hidden, middle, outside = widths
    return nn.Sequential(
        nn.Linear(inside, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, middle, bias=False),
        nn.BatchNorm1d(middle),
        nn.ReLU(inplace=True),
        nn.Linear(middle, outside),
    )
