"""k nearest neighbors by cosine similarity, weighted as in Wu et al. 2018.

A neighbor votes for its class with exp(similarity / temperature).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

_QUERIES = 1024  # at once
_LEAST_SHARE = 1e-6  # of the vote for each class, so that every likelihood is finite


def votes_of_path(
    known: Tensor,
    labels: Tensor,
    classes: int,
    queries: Tensor,
    neighbors: Sequence[int],
    temperature: float,
    beat: Callable[[], object] = lambda: None,
) -> Tensor:
    """Log shares of the votes (v, m, classes) for each number of neighbors.

    Args:
        known: unit features (n, d) of the training images.
        labels: int64 (n,).
        classes: number of classes.
        queries: unit features (m, d).
        neighbors: numbers of neighbors, each at most n.
        temperature: of the weights.
        beat: called for every 1,024 queries, as a sign of life.
    """
    parts = []
    for part in queries.double().split(_QUERIES):
        beat()
        nearest = (part @ known.double().T).topk(max(neighbors), dim=1)
        weights = ((nearest.values - 1) / temperature).exp()  # at most 1: no overflow
        found = labels[nearest.indices]
        parts.append(torch.stack(list(_shares(weights, found, classes, neighbors))))
    return torch.cat(parts, dim=1)


def _shares(
    weights: Tensor, found: Tensor, classes: int, neighbors: Sequence[int]
) -> Iterator[Tensor]:
    for k in neighbors:
        votes = weights.new_zeros(len(weights), classes).scatter_add(
            1, found[:, :k], weights[:, :k]
        )
        shares = votes / votes.sum(dim=1, keepdim=True)
        yield (_LEAST_SHARE + (1 - classes * _LEAST_SHARE) * shares).log()
