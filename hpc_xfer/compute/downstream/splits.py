"""Choose training and validation images: functions of labels, recipe and draw alone.

split = split_of(recipe, labels, official=0)    # indices into the training images
split.train                                     # for 5 shots these are among those for 10

Each class is shuffled once per draw. Shots are taken from the front of that order and validation
images from its back, so both are nested over shot counts and never meet.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.config.downstream_datasets import held_out_count
from hpc_xfer.config.finetune_recipes import FEW, Finetune
from hpc_xfer.errors import DataError

Indices = NDArray[np.int64]
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Split:
    """Ascending indices into the training images of a data set."""

    train: Indices
    validation: Indices
    official: bool = False  # validation is the official set instead; `validation` is empty then

    def short_classes(self, labels: Indices, shots: int) -> int:
        """Count the classes that have fewer training images than shots were asked for."""
        classes = len(np.unique(labels))
        counts = np.bincount(labels[self.train], minlength=classes)
        return int(np.sum(counts[np.unique(labels)] < shots))


def split_of(recipe: Finetune, labels: Indices, official: int) -> Split:
    """Choose the images that a run trains on, and those that its choice rests on.

    Args:
        labels: (n,) class of each training image.
        official: images of the official validation set; 0 where there is none.

    Raises:
        DataError: no class has an image to spare for validation.
    """
    if recipe.val_seed is not None:  # version 0.1: one validation split for all draws
        return _fixed_validation(recipe, labels, recipe.val_seed)
    if recipe.validation in ("none", "loo"):
        return Split(_front(labels, recipe.shots, recipe.draw), _NONE)
    if recipe.shots == "full" and official:
        return Split(np.arange(len(labels)), _NONE, official=True)
    if recipe.shots == "full" and getattr(recipe, "select", "validation") == "test":
        return Split(np.arange(len(labels)), _NONE)  # the paper trains on everything
    if recipe.validation == "fraction" or recipe.shots == "full":
        return _by_fraction(recipe, labels)
    return few(labels, int(recipe.shots), recipe.draw)


def few(labels: Indices, shots: int, draw: int) -> Split:
    """Choose k shots and min(k, 4) validation images per class.

    A class with fewer images than that gives all it has, in the same proportion: at least one for
    training, and one for validation if it has two.
    """
    wanted = min(shots, FEW)
    chosen, held = [_NONE], [_NONE]
    for order in _shuffled(labels, draw).values():
        n = len(order)
        count = (
            wanted if n >= shots + wanted else max(min(1, n - 1), n * wanted // (shots + wanted))
        )
        chosen.append(order[: min(shots, n - count)])
        held.append(order[n - count :])
    return _checked(Split(np.sort(np.concatenate(chosen)), np.sort(np.concatenate(held))))


def _by_fraction(recipe: Finetune, labels: Indices) -> Split:
    """Hold out a fraction of each class; shots come from the rest."""
    chosen, held = [_NONE], [_NONE]
    for order in _shuffled(labels, recipe.draw).values():
        count = held_out_count(len(order), recipe.val_fraction) if len(order) > 1 else 0
        rest = order[: len(order) - count]
        chosen.append(rest if recipe.shots == "full" else rest[: int(recipe.shots)])
        held.append(order[len(order) - count :])
    return _checked(Split(np.sort(np.concatenate(chosen)), np.sort(np.concatenate(held))))


def _front(labels: Indices, shots: int | str, draw: int) -> Indices:
    """Take the first shots of each class, all images for `full`, none for 0."""
    if shots == "full":
        return np.arange(len(labels))
    orders = _shuffled(labels, draw).values()
    return np.sort(np.concatenate([_NONE, *(order[: int(shots)] for order in orders)]))


def _checked(split: Split) -> Split:
    if not len(split.validation):
        raise DataError(
            "no class has an image to spare for validation; add images, or set validation to none "
            "with one value of what is tuned"
        )
    return split


def _shuffled(labels: Indices, draw: int) -> dict[int, Indices]:
    """Label -> its images in the order of the draw."""
    return {
        label: members[np.random.default_rng((draw, 1, label)).permutation(len(members))]
        for label, members in _by_class(labels).items()
    }


def hold_out(labels: Indices, fraction: float, seed: int) -> Split:
    """Hold out a fraction of each class, the same images for all draws and shots.

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
    return Split(np.setdiff1d(np.arange(len(labels)), validation), validation)


def _fixed_validation(recipe: Finetune, labels: Indices, seed: int) -> Split:
    """Take shots from what is left of the one validation split of version 0.1."""
    split = hold_out(labels, recipe.val_fraction, seed)
    if recipe.shots == "full":
        return split
    rest = split.train
    return Split(rest[_front(labels[rest], recipe.shots, recipe.draw)], split.validation)


def _by_class(labels: Indices) -> dict[int, Indices]:
    return {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
