"""A classifier on an encoder: features of unit length, standardized once, and a linear head.

The head starts from the text features of the class names if the parent has a text tower and the
names mean something (as in WiSE-FT, Wortsman et al. 2022), from a converged probe (LP-FT, Kumar et
al. 2022), or from zero.
"""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.downstream.forward import forward_all
from hpc_xfer.compute.models.encoders import Tokenizer, Towers
from hpc_xfer.compute.models.normalize import Normalize, full_precision
from hpc_xfer.compute.training.gpu_arithmetic import autocast, products
from hpc_xfer.compute.training.objective import Batch

_CPU = torch.device("cpu")


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
        """(n, dim) -> (n, classes), in fp32 under autocast too."""
        with torch.autocast(features.device.type, enabled=False):
            out: Tensor = self.head((full_precision(features) - self.centre) / self.spread)
        return out

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
        spread = (features - self.centre).pow(2).mean().sqrt()
        self.spread.copy_(torch.where(spread > 1e-6, spread, 1.0))  # all alike: nothing to scale

    @torch.no_grad()
    def start_from(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Start as the classifier with weights (classes, dim), bias (classes,) of unit features."""
        weights = weights.to(self.centre.dtype)
        self.head.weight.copy_(weights * self.spread)
        self.head.bias.copy_(weights @ self.centre)
        if bias is not None:
            self.head.bias.add_(bias)


@torch.no_grad()
def zero_shot_weights(
    towers: Towers,
    tokenize: Tokenizer,
    classes: Iterable[str],
    templates: Sequence[str],
    device: torch.device = _CPU,
    precision: str = "fp32",
) -> Tensor:
    """Mean text feature of each class over the templates, times the logit scale: (classes, dim).

    Radford et al. 2021, section 3.1.4. The text tower computes on the device, and is on the CPU
    again afterwards, as the result is.
    """
    assert towers.text is not None and towers.logit_scale is not None
    text = towers.text.to(device).eval()
    rows = []
    for name in classes:
        tokens = tokenize([template.format(name) for template in templates])
        with products(device, precision), autocast(device, precision):
            found = text(tokens.to(device))
        mean = F.normalize(full_precision(found), dim=-1).mean(dim=0)
        rows.append(F.normalize(mean, dim=-1))
    weights = torch.stack(rows).cpu() * towers.logit_scale.exp()
    text.cpu()  # a GPU has better use for its memory
    if towers.projection is not None:  # logits = text . (P f) = (text P) . f
        weights = weights @ towers.projection.weight  # type: ignore[operator]  # Linear's tensor
    return weights


def extract(
    model: Classifier, batches: Iterable[Tensor], device: torch.device, precision: str = "fp32"
) -> Tensor:
    """Unit features (N, dim) on the CPU of uint8 batches (n, 3, S, S), in evaluation mode.

    On a GPU in the precision of the training, on a CPU in fp32.
    """
    model.eval()
    precision = precision if device.type == "cuda" else "fp32"
    with products(device, precision), autocast(device, precision):
        return forward_all(model.features, iter(batches), device)
