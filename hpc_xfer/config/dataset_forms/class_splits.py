"""Splits of our own, for data sets whose owners publish none.

Each rule depends on the sorted names of the images of a class and on a seed, and on nothing else.
numpy's RandomState is used, whose numbers are promised never to change.
"""

from collections.abc import Sequence

from hpc_xfer.config.dataset_forms.listing import ListedImages


def first_trains(
    classes: Sequence[Sequence[str]], train: int, seed: int
) -> tuple[ListedImages, ListedImages]:
    """Choose `train` images of each class for training; the rest tests, at least one."""
    return _split(classes, [len(names) - min(train, len(names) - 1) for names in classes], seed)


def fraction_tests(
    classes: Sequence[Sequence[str]], parts: int, seed: int
) -> tuple[ListedImages, ListedImages]:
    """Choose one of `parts` images of each class for the test, rounding down, at least one."""
    return _split(classes, [max(1, len(names) // parts) for names in classes], seed)


def _split(
    classes: Sequence[Sequence[str]], test: Sequence[int], seed: int
) -> tuple[ListedImages, ListedImages]:
    """Split class after class with one generator; both parts keep the order of names."""
    import numpy as np  # takes 0.1 s, and most commands list nothing

    random = np.random.RandomState(seed)
    parts: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
    for label, (names, n_test) in enumerate(zip(classes, test, strict=True)):
        tests = set(random.permutation(len(names))[:n_test].tolist())
        for i, name in enumerate(names):
            parts[i in tests].append((name, label))
    train_part, test_part = (
        ListedImages(tuple(n for n, _ in part), tuple(label for _, label in part)) for part in parts
    )
    return train_part, test_part
