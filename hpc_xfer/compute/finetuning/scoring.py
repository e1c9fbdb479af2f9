"""Scores of classifiers: accuracies, negative log-likelihood, calibration error, macro F1.

Several classifiers are scored at once: a probe has one for each value of its path.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

METRICS = ("top1", "top5", "per_class", "macro_f1", "nll", "ece")
_BINS = 15  # of confidence, of equal width (Guo et al. 2017)
_AT_ONCE = 1 << 23  # logits; 64 MB in float64


def scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Measure logits (n, classes) against labels (n,); see `scores_of_each`."""
    return {name: values[0] for name, values in scores_of_each(logits[None], labels).items()}


def named_scores(name: str, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Prefix all scores: `test_top1`, `test_nll`, ..."""
    return {f"{name}_{metric}": value for metric, value in scores(logits, labels).items()}


def scores_of_each(logits: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Measure the logits (v, n, classes) of v classifiers against labels (n,).

    Returns:
        Shares in 0..1, but for `nll`, in nats. top5: with fewer classes than five, all of them.
        per_class: top1 of each class that occurs, averaged. macro_f1: F1 of each class that occurs
        among labels or predictions, averaged. ece: expected calibration error, the mean distance of
        confidence and accuracy over 15 bins of confidence.
    """
    size = max(1, _AT_ONCE // max(1, logits[0].numel()))
    parts = [_scores(part.double(), labels) for part in logits.split(size)]
    return {name: torch.cat([part[name] for part in parts]).tolist() for name in METRICS}


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Mark the images whose highest logit is that of the label; on ties the first counts.

    Logits (..., n, classes) give bool (..., n).
    """
    return logits.argmax(dim=-1).eq(labels)


def packed_hits(logits: Tensor, labels: Tensor) -> NDArray[np.uint8]:
    """One bit per image, as np.packbits packs them along the last axis."""
    return np.packbits(hits(logits, labels).cpu().numpy(), axis=-1)


def _scores(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The scores (v,) of logits (v, n, classes)."""
    count, _, classes = logits.shape
    every = labels.expand(count, -1)
    log_probabilities = torch.log_softmax(logits, dim=2)
    guesses = logits.argmax(dim=2)
    right = guesses.eq(every)
    top = logits.topk(min(5, classes), dim=2).indices.eq(every[..., None]).any(dim=2)
    confidence = log_probabilities.max(dim=2).values.exp()
    likelihood = log_probabilities.gather(2, every[..., None])[..., 0]
    return {
        "top1": right.double().mean(dim=1),
        "top5": (top | right).double().mean(dim=1),
        **_by_class(guesses, every, right, classes),
        "nll": -likelihood.mean(dim=1),
        "ece": _calibration_error(confidence, right.double()),
    }


def _by_class(guesses: Tensor, labels: Tensor, right: Tensor, classes: int) -> dict[str, Tensor]:
    """Mean recall over the classes that occur, and macro F1 = mean of 2 TP / (labels + guesses)."""
    none = torch.zeros(len(labels), classes, dtype=torch.float64, device=labels.device)
    one = torch.ones_like(labels, dtype=torch.float64)
    actual = none.scatter_add(1, labels, one)
    guessed = none.scatter_add(1, guesses, one)
    true = none.scatter_add(1, labels, right.double())
    either = actual + guessed
    recall = (true / actual.clamp(min=1)).sum(dim=1) / (actual > 0).sum(dim=1)
    f1 = (2 * true / either.clamp(min=1)).sum(dim=1) / (either > 0).sum(dim=1)
    return {"per_class": recall, "macro_f1": f1}


def _calibration_error(confidence: Tensor, right: Tensor) -> Tensor:
    """Mean of abs(accuracy - confidence) over bins, weighted by their images; bins are (a, b]."""
    bins = (confidence * _BINS).ceil().long().clamp(1, _BINS) - 1
    gaps = torch.zeros(len(right), _BINS, dtype=torch.float64, device=right.device)
    return gaps.scatter_add(1, bins, right - confidence).abs().sum(dim=1) / right.shape[1]
