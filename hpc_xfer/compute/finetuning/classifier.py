"""A classifier on top of an encoder: unit features, standardised once, and a linear head.

The head starts from the text features of the class names where the parent has a text tower (as
WiSE-FT, Wortsman et al. 2022), else from zero.
"""

import copy
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.downstream.eval_images import EvalImages
from hpc_xfer.compute.models.encoders import Tokenizer, Towers
from hpc_xfer.compute.models.normalize import Normalize
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.errors import DataError
from hpc_xfer.store.heartbeat import Liveness

_KEPT_SETS = 4  # validation, test, and the images of a draw or two


class Classifier(nn.Module):
    """Images or features to class logits; `forward` is the loss, for the training loop.

    It trains a copy of the parent's visual tower.

    The head sees features that are centred and scaled to root mean square 1 over the training
    images of the draw, as the parent sees them. Under Adam the step of a weight does not depend on
    the size of its input, so raw unit features (a common offset, entries of 1/sqrt(dim)) would make
    a learning rate mean something else to every parent.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, towers: Towers, classes: int, smoothing: float) -> None:
        super().__init__()
        self.normalise, self.visual = Normalize(towers), copy.deepcopy(towers.visual)
        self.head = nn.Linear(towers.dim, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("centre", torch.zeros(towers.dim))
        self.register_buffer("spread", torch.ones(()))
        self.smoothing = smoothing

    def features(self, images: Tensor) -> Tensor:
        """uint8 (n, 3, S, S) -> (n, dim), of unit length."""
        return F.normalize(self.visual(self.normalise(images)).float(), dim=-1)

    def logits(self, features: Tensor) -> Tensor:
        """(n, dim) -> (n, classes)."""
        out: Tensor = self.head((features - self.centre) / self.spread)
        return out.float()

    def forward(self, batch: Batch) -> Tensor:
        """images or features, and labels (n,) -> ()."""
        features = batch["features"] if "features" in batch else self.features(batch["images"])
        return F.cross_entropy(
            self.logits(features), batch["labels"], label_smoothing=self.smoothing
        )

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Fix centre and spread from the training images' features (n, dim)."""
        self.centre.copy_(features.mean(dim=0))
        self.spread.copy_((features - self.centre).pow(2).mean().sqrt().clamp(min=1e-6))

    @torch.no_grad()
    def start_from_text(self, weights: Tensor) -> None:
        """Begin as the zero-shot classifier with these weights (classes, dim) on unit features."""
        self.head.weight.copy_(weights * self.spread)
        self.head.bias.copy_(weights @ self.centre)


@torch.no_grad()
def zero_shot_weights(
    towers: Towers, tokenise: Tokenizer, classes: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """Mean text feature of each class over the templates, times the logit scale: (classes, dim).

    Radford et al. 2021, section 3.1.4.
    """
    assert towers.text is not None and towers.logit_scale is not None
    towers.text.eval()
    rows = []
    for name in classes:
        tokens = tokenise([template.format(name) for template in templates])
        mean = towers.text_features(tokens).mean(dim=0)
        rows.append(F.normalize(mean, dim=-1))
    weights = torch.stack(rows) * towers.logit_scale.exp()
    if towers.projection is not None:  # logits = text . (P f), so P goes to the text's side
        weights = weights @ towers.projection.weight  # type: ignore[operator]  # Linear's tensor
    return weights


@torch.no_grad()
def extract(model: Classifier, batches: Iterable[Tensor], device: torch.device) -> Tensor:
    """Unit features of uint8 images (n, 3, S, S), in evaluation mode: (all n, dim) on the CPU."""
    model.eval()
    return torch.cat([model.features(batch.to(device)).cpu() for batch in batches])


class FrozenFeatures:
    """Features of an untouched encoder for one split, kept for the trials that share images.

    They are kept by the whole set of images asked for: the last bits of a feature depend on the
    batch it went through in, so features kept one by one would depend on what was asked before.
    """

    def __init__(self, views: EvalImages) -> None:
        self.views = views
        self._kept: dict[bytes, Tensor] = {}

    def of(
        self, model: Classifier, chosen: NDArray[np.int64], device: torch.device, pulse: Liveness
    ) -> Tensor:
        """(n, dim) on the CPU; `model` must not have been trained yet."""
        key = chosen.tobytes()
        features = self._kept.pop(key, None)
        if features is None:
            features = extract(model, pulse.with_liveness(self.views.batches(chosen)), device)
        while len(self._kept) >= _KEPT_SETS:
            self._kept.pop(next(iter(self._kept)))  # the least recently used
        self._kept[key] = features
        return features


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the first guess is right: bool (n,). Of equal logits the first counts."""
    return logits.argmax(dim=1).eq(labels)


def accuracies(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """top1, top5 (of fewer than five classes: all) and the mean of the classes' top1."""
    right = hits(logits, labels)
    first = right.double()
    among = logits.topk(min(5, logits.shape[1])).indices.eq(labels[:, None]).any(dim=1)
    classes = [first[labels == label].mean() for label in labels.unique()]
    return {
        "top1": first.mean().item(),
        "top5": (among | right).double().mean().item(),
        "per_class": torch.stack(classes).mean().item(),
    }


def check_class_order(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Refuse class names in an order that is not that of the labels.

    A weak parent may be near chance with the right order; a wrong order shows in that another
    assignment of names to labels is right far more often. The assignment is found on one half of
    the images and judged on the other: with few images per class, one that fits by chance exists.

    Raises:
        DataError: near chance as it is, but right under another order of the names.
    """
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
            f"the zero-shot head is right for {as_is:.0%} of the images, with the class names in "
            f"another order for {best:.0%}; check the order of the names, first {classes[wrong]!r}"
        )
