"""Choose validation and training images: functions of (data set, seed or draw) alone.

split = hold_out(labels, fraction=0.2, seed=0)       # shots never come from split.validation
chosen = shots(labels, split.train, k=5, draw=2)     # these images are among those of k=10
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.config.downstream_datasets import held_out_count
from hpc_xfer.errors import DataError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices into the training images of a data set, ascending."""

    train: Indices
    validation: Indices


def hold_out(labels: Indices, fraction: float, seed: int) -> Split:
    """Set aside a stratified part of the training set, at least one image of each class.

    Args:
        labels: (n,) class of each training image.

    Raises:
        DataError: a class has a single image, so it cannot be in both.
    """
    held: list[Indices] = []
    for label, members in _by_class(labels).items():
        if len(members) < 2:
            raise DataError(
                f"class {label} has one training image, but needs one for training and one for "
                "validation; add an image or remove the class"
            )
        count = held_out_count(len(members), fraction)
        held.append(np.random.default_rng((seed, 0, label)).permutation(members)[:count])
    validation = np.sort(np.concatenate(held))
    train = np.setdiff1d(np.arange(len(labels)), validation)
    return Split(train, validation)


def shots(labels: Indices, train: Indices, k: int, draw: int) -> Indices:
    """Choose k images per class: the first k of one seeded shuffle of each class.

    Raises:
        DataError: a class has fewer than k images outside of validation.
    """
    chosen: list[Indices] = []
    for label, members in _by_class(labels[train]).items():
        if len(members) < k:
            raise DataError(
                f"shots is {k}, but class {label} has {len(members)} images outside of "
                "validation; lower shots or val_fraction"
            )
        order = np.random.default_rng((draw, 1, label)).permutation(len(members))
        chosen.append(train[members[order[:k]]])
    return np.sort(np.concatenate(chosen))


def _by_class(labels: Indices) -> dict[int, Indices]:
    return {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
