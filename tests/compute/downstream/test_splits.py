"""Validation and training images: stratified, disjoint, nested, and the same for all runs."""

import itertools

import numpy as np
import pytest

from hpc_xfer.compute.downstream.splits import Indices, Split, hold_out, shots
from hpc_xfer.errors import DataError

LABELS: Indices = np.random.default_rng(0).choice(5, size=400, p=[0.4, 0.3, 0.15, 0.1, 0.05])


def counts(chosen: Indices) -> list[int]:
    return np.bincount(LABELS[chosen], minlength=5).tolist()


def test_validation_is_a_fifth_of_each_class_and_never_trains() -> None:
    split = hold_out(LABELS, 0.2, seed=0)
    assert counts(split.validation) == [round(0.2 * n) for n in np.bincount(LABELS)]
    assert sorted([*split.train, *split.validation]) == list(range(400))


def test_each_class_has_one_image_on_both_sides_at_least() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    for fraction in (0.01, 0.99):
        split = hold_out(labels, fraction, seed=0)
        assert set(labels[split.train]) == set(labels[split.validation]) == {0, 1}


def test_fewer_shots_are_a_subset_of_more_shots() -> None:
    split = hold_out(LABELS, 0.2, seed=0)
    for draw in range(3):
        draws = [shots(LABELS, split.train, k, draw) for k in (1, 2, 5, 10)]
        for k, chosen in zip((1, 2, 5, 10), draws, strict=True):
            assert counts(chosen) == [k] * 5
            assert not set(chosen) & set(split.validation)
        for few, more in itertools.pairwise(draws):
            assert set(few) < set(more)


def test_draws_differ_and_repeat() -> None:
    split = hold_out(LABELS, 0.2, seed=0)
    assert shots(LABELS, split.train, 5, 0).tolist() == shots(LABELS, split.train, 5, 0).tolist()
    assert shots(LABELS, split.train, 5, 0).tolist() != shots(LABELS, split.train, 5, 1).tolist()
    other = hold_out(LABELS, 0.2, seed=1)
    assert split.validation.tolist() != other.validation.tolist()


def test_other_classes_do_not_change_the_draw_of_one() -> None:
    """Adding a class at the end does not change the images of the others."""
    more = np.concatenate([LABELS, np.full(20, 5)])
    before, after = hold_out(LABELS, 0.2, 0), hold_out(more, 0.2, 0)
    assert set(before.validation) == {i for i in after.validation if i < 400}
    one, two = shots(LABELS, before.train, 5, 0), shots(more, after.train, 5, 0)
    assert set(one) == {i for i in two if i < 400}


def test_a_class_with_too_few_images_is_an_error() -> None:
    split = Split(np.arange(10), np.array([10]))
    labels = np.array([0] * 7 + [3] * 4)
    with pytest.raises(DataError) as caught:
        shots(labels, split.train, 5, draw=0)
    assert str(caught.value) == (
        "shots is 5, but class 3 has 3 images outside of validation; lower shots or val_fraction"
    )


def test_a_class_of_one_image_is_an_error() -> None:
    with pytest.raises(
        DataError, match="class 7 has one training image, but needs one for training"
    ):
        hold_out(np.array([1, 1, 7]), 0.2, seed=0)


def test_draws_are_pinned() -> None:
    """If this fails, new runs use other images than old runs of the same recipe."""
    labels = np.repeat(np.arange(3), 6)
    split = hold_out(labels, 0.3, seed=0)
    assert split.validation.tolist() == [2, 3, 7, 10, 13, 16]
    assert shots(labels, split.train, 1, draw=0).tolist() == [5, 6, 14]
    assert shots(labels, split.train, 2, draw=2).tolist() == [0, 4, 6, 11, 14, 17]
