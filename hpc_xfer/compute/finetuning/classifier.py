"""A classifier on an encoder: features of unit length, standardized once, and a linear head.

The head starts from the text features of the class names if the parent has a text tower (as in
WiSE-FT, Wortsman et al. 2022), else from zero.
"""

import copy
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.models.encoders import Tokenizer, Towers
from hpc_xfer.compute.models.normalize import Normalize
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.errors import DataError


class Classifier(nn.Module):
    """Map images or features to class logits; `forward` is the loss, for the training loop.

    It trains a copy of the parent's visual tower.

    The head gets features that are centered and scaled to root mean square 1 over the training
    images of the draw, both measured before training. Under Adam the step of a weight does not
    depend on the size of its input, so with raw unit features (a common offset, entries of
    1/sqrt(dim)) one learning rate would have another effect for each parent.
    """

    centre: Tensor  # the names of both are in the checkpoints of runs
    spread: Tensor

    def __init__(self, towers: Towers, classes: int, smoothing: float) -> None:
        super().__init__()
        self.normalize, self.visual = Normalize(towers), copy.deepcopy(towers.visual)
        self.head = nn.Linear(towers.dim, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("centre", torch.zeros(towers.dim))
        self.register_buffer("spread", torch.ones(()))
        self.smoothing = smoothing

    def features(self, images: Tensor) -> Tensor:
        """uint8 (n, 3, S, S) -> (n, dim), of unit length, in fp32."""
        return F.normalize(self.visual(self.normalize(images)).float(), dim=-1)

    def logits(self, features: Tensor) -> Tensor:
        """(n, dim) -> (n, classes)."""
        out: Tensor = self.head((features - self.centre) / self.spread)
        return out.float()

    def forward(self, batch: Batch) -> Tensor:
        """Cross entropy () of a batch with images or features, and labels (n,)."""
        features = batch["features"] if "features" in batch else self.features(batch["images"])
        return F.cross_entropy(
            self.logits(features), batch["labels"], label_smoothing=self.smoothing
        )

    @torch.no_grad()
    def standardize(self, features: Tensor) -> None:
        """Set center and spread from the features (n, dim) of the training images."""
        self.centre.copy_(features.mean(dim=0))
        self.spread.copy_((features - self.centre).pow(2).mean().sqrt().clamp(min=1e-6))

    @torch.no_grad()
    def start_from_text(self, weights: Tensor) -> None:
        """Start as the zero-shot classifier that has weights (classes, dim) for unit features."""
        self.head.weight.copy_(weights * self.spread)
        self.head.bias.copy_(weights @ self.centre)


@torch.no_grad()
def zero_shot_weights(
    towers: Towers, tokenize: Tokenizer, classes: Iterable[str], templates: Sequence[str]
) -> Tensor:
    """Mean text feature of each class over the templates, times the logit scale: (classes, dim).

    Radford et al. 2021, section 3.1.4.
    """
    assert towers.text is not None and towers.logit_scale is not None
    towers.text.eval()
    rows = []
    for name in classes:
        tokens = tokenize([template.format(name) for template in templates])
        mean = towers.text_features(tokens).mean(dim=0)
        rows.append(F.normalize(mean, dim=-1))
    weights = torch.stack(rows) * towers.logit_scale.exp()
    if towers.projection is not None:  # logits = text . (P f) = (text P) . f
        weights = weights @ towers.projection.weight  # type: ignore[operator]  # Linear's tensor
    return weights


@torch.no_grad()
def extract(model: Classifier, batches: Iterable[Tensor], device: torch.device) -> Tensor:
    """Unit features (N, dim) on the CPU of uint8 batches (n, 3, S, S), in evaluation mode."""
    model.eval()
    return torch.cat([model.features(batch.to(device)).cpu() for batch in batches])


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Mark the images whose highest logit is that of the label: bool (n,); on ties the first."""
    return logits.argmax(dim=1).eq(labels)


def accuracies(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Shares in 0..1: top1, top5 (with fewer classes: all of them), and top1 averaged by class."""
    right = hits(logits, labels)
    first = right.double()
    within = logits.topk(min(5, logits.shape[1])).indices.eq(labels[:, None]).any(dim=1)
    classes = [first[labels == label].mean() for label in labels.unique()]
    return {
        "top1": first.mean().item(),
        "top5": (within | right).double().mean().item(),
        "per_class": torch.stack(classes).mean().item(),
    }


def check_class_order(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Refuse class names in an order that is not that of the labels.

    A weak parent may be near chance with the right order. With a wrong order, another assignment of
    names to labels is right far more often. It is found on one half of the images and judged on the
    other, because with few images per class some assignment fits by chance.

    Raises:
        DataError: near chance in this order of the names, but not in another one.
    """
    from scipy.optimize import linear_sum_assignment  # 0.2 s, needed for zero-shot heads only

    by_class = labels.argsort(stable=True)
    tables: list[NDArray[np.int64]] = []
    for half in (by_class[::2], by_class[1::2]):
        table = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(table, (labels[half].numpy(), logits[half].argmax(dim=1).numpy()), 1)
        tables.append(table)
    as_is = float(sum(np.trace(table) for table in tables)) / len(labels)
    places = [linear_sum_assignment(-table)[1] for table in reversed(tables)]
    rows = np.arange(len(classes))
    right = [table[rows, place].sum() for table, place in zip(tables, places, strict=True)]
    best = float(sum(right)) / len(labels)
    if as_is < 1.5 / len(classes) and best - as_is > 0.3:
        wrong = int(np.flatnonzero(places[0] != rows)[0])
        raise DataError(
            f"with the class names in the given order the zero-shot head is right for {as_is:.0%} "
            f"of the images, in another order for {best:.0%}; check the order of the names, first "
            f"{classes[wrong]!r}"
        )
