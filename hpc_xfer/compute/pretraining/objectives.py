"""What is minimised: one module per method, from a batch on the device to a scalar loss.

Every loss is over the global batch: features of all ranks are gathered with their gradients, so
that the mean over ranks (which DistributedDataParallel takes) is the loss of one process. Rows of
this rank stand against columns of all, so the matrix of logits grows with the number of ranks, not
with its square (open_clip's local_loss with gather_with_grad). Under autocast the towers are in
half precision, the losses are not: bf16 tells logits near 100 apart by 0.5.
Batches are dicts of tensors; N is the rank's share of the global batch.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.distributed.collectives import gather
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.images import color_jitter
from hpc_xfer.compute.models.encoders import Towers, seeded
from hpc_xfer.compute.models.normalize import Normalize, full_precision
from hpc_xfer.compute.training.objective import Batch, Contrastive
from hpc_xfer.config.recipes import Clip, SimCLR, Supervised, Trained


class PretrainObjective(nn.Module):
    """The visual tower with what a method trains beside it."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.normalise, self.visual = Normalize(towers), towers.visual

    def write_heads(self, towers: Towers, classes: tuple[str, ...] | None) -> None:
        """Copy into `towers` what an encoder keeps besides the towers; nothing if not overridden.

        Args:
            classes: names of the source's classes.
        """


class ClipObjective(PretrainObjective, Contrastive):
    """InfoNCE between images and captions (Radford et al. 2021, fig. 3)."""

    def __init__(self, towers: Towers, recipe: Clip, world: World, classes: int) -> None:
        super().__init__(towers)
        assert towers.text is not None and towers.logit_scale is not None
        self.text, self.projection = towers.text, towers.projection
        self.logit_scale = nn.Parameter(towers.logit_scale.clone())
        self.limit = torch.tensor(recipe.max_logit_scale).log().item()
        self.world = world

    def features(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """images (N, 3, S, S) uint8, tokens (N, context) -> images, texts, logit scale."""
        with torch.no_grad():  # inside the graph, what is beyond the limit would never come back
            self.logit_scale.clamp_(0, self.limit)
        features = self.visual(self.normalise(batch["images"]))
        if self.projection is not None:
            features = self.projection(features)
        image = F.normalize(full_precision(features), dim=-1)
        text = F.normalize(full_precision(self.text(batch["tokens"])), dim=-1)
        return image, text, self.logit_scale.exp()

    def loss(self, *features: Tensor) -> Tensor:
        """images (N, d), texts (N, d), scale () -> ()."""
        image, text, scale = features
        with torch.autocast(image.device.type, enabled=False):
            return info_nce(image, text, scale, self.world)

    def write_heads(self, towers: Towers, classes: tuple[str, ...] | None) -> None:
        towers.logit_scale = self.logit_scale.detach().clamp(0, self.limit).cpu()


class SimCLRObjective(PretrainObjective, Contrastive):
    """NT-Xent over two augmented views (Chen et al. 2020, eq. 1), projection head as in SLIP."""

    def __init__(self, towers: Towers, recipe: SimCLR, world: World, classes: int) -> None:
        super().__init__(towers)
        self.head = _projection(towers.dim, recipe.projection)
        self.temperature, self.world = recipe.temperature, world

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """images (N, 2, 3, S, S) uint8, colour (N, 2, k), see data/photometric.py -> two views."""
        images, colour = batch["images"].transpose(0, 1), batch["colour"].transpose(0, 1)
        with torch.autocast(images.device.type, enabled=False):  # bf16 has 8 bits, as have pixels
            views = color_jitter.apply(images.flatten(0, 1), colour.flatten(0, 1))
        z = F.normalize(full_precision(self.head(self.visual(self.normalise(views)))), dim=-1)
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
        logits = self.head(self.visual(self.normalise(batch["images"])))
        return F.cross_entropy(
            full_precision(logits), batch["labels"], label_smoothing=self.smoothing
        )

    def write_heads(self, towers: Towers, classes: tuple[str, ...] | None) -> None:
        towers.classes, towers.head = classes, self.head


OBJECTIVES: dict[str, Callable[[Towers, Any, World, int], PretrainObjective]] = {
    "clip": ClipObjective,
    "simclr": SimCLRObjective,
    "supervised": SupervisedObjective,
}


def make_objective(
    recipe: Trained, towers: Towers, classes: int, world: World
) -> PretrainObjective:
    """Make the loss module of a recipe's method; heads start from the recipe's seed."""
    with seeded(recipe.seed + 1):
        return OBJECTIVES[recipe.method](towers, recipe, world, classes)


def info_nce(image: Tensor, text: Tensor, scale: Tensor, world: World) -> Tensor:
    """Each image finds its text and each text its image; rows of this rank against all columns.

    What open_clip.ClipLoss computes with local_loss and gather_with_grad.

    Args:
        image, text: (N, d) unit vectors of the same N samples.
    """
    partner = torch.arange(len(image), device=image.device) + world.rank * len(image)
    of_images = F.cross_entropy(scale * image @ gather(text, world).T, partner)
    of_texts = F.cross_entropy(scale * text @ gather(image, world).T, partner)
    return (of_images + of_texts) / 2


def nt_xent(first: Tensor, second: Tensor, temperature: float, world: World) -> Tensor:
    """Normalised temperature-scaled cross-entropy; rows of this rank against columns of all.

    Args:
        first, second: (N, d) unit vectors, two views of the same N images.
    """
    everything = torch.cat([gather(first, world), gather(second, world)])  # (2 * N * ranks, d)
    n, total = len(first), len(first) * world.size
    place = torch.arange(n, device=first.device) + world.rank * n
    own = torch.cat([place, place + total])
    logits = torch.cat([first, second]) @ everything.T / temperature
    logits[torch.arange(2 * n, device=first.device), own] = float("-inf")  # not its own negative
    partner = torch.cat([place + total, place])
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
