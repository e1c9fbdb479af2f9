"""Validation and training images: stratified, disjoint, nested, and the same for all parents."""

import itertools
from typing import Any

import numpy as np
import pytest

from hpc_xfer.compute.downstream.splits import Indices, Split, few, hold_out, split_of
from hpc_xfer.config.finetune_recipes import FullFinetune, RidgeProbe
from hpc_xfer.errors import DataError

LABELS: Indices = np.random.default_rng(0).choice(5, size=400, p=[0.4, 0.3, 0.15, 0.1, 0.05])


def split(labels: Indices = LABELS, official: int = 0, **settings: Any) -> Split:
    recipe = {"dataset": "pets", "shots": 5, "draw": 0, "lr": 1e-3} | settings
    return split_of(FullFinetune.model_validate(recipe), labels, official)


def counts(chosen: Indices, labels: Indices = LABELS) -> list[int]:
    return np.bincount(labels[chosen], minlength=labels.max() + 1).tolist()


@pytest.mark.parametrize(("shots", "validation"), [(1, 1), (2, 2), (4, 4), (5, 4), (10, 4)])
def test_validation_of_few_shots_has_as_many_images_per_class_but_at_most_four(
    shots: int, validation: int
) -> None:
    found = split(shots=shots)
    assert counts(found.train) == [shots] * 5
    assert counts(found.validation) == [validation] * 5
    assert not set(found.train) & set(found.validation)


def test_fewer_shots_are_a_subset_of_more_shots() -> None:
    for draw in range(3):
        found = [split(shots=k, draw=draw) for k in (1, 2, 5, 10)]
        for less, more in itertools.pairwise(found):
            assert set(less.train) < set(more.train)
            assert set(less.validation) <= set(more.validation)


def test_draws_differ_in_shots_and_validation_and_repeat() -> None:
    one, again, other = split(draw=0), split(draw=0), split(draw=1)
    assert one.train.tolist() == again.train.tolist() != other.train.tolist()
    assert one.validation.tolist() == again.validation.tolist() != other.validation.tolist()


def test_a_class_with_few_images_gives_all_it_has() -> None:
    labels = np.array([0] * 30 + [1] * 8 + [2] * 2 + [3])
    found = few(labels, shots=10, draw=0)
    assert counts(found.train, labels) == [10, 6, 1, 1]
    assert counts(found.validation, labels) == [4, 2, 1, 0]
    assert found.short_classes(labels, 10) == 3
    more = few(labels, shots=20, draw=0)
    assert set(found.train) < set(more.train)
    assert not set(more.train) & set(more.validation)


def test_classes_of_one_image_leave_nothing_to_choose_by() -> None:
    with pytest.raises(DataError, match="no class has an image to spare for validation"):
        few(np.arange(3), shots=1, draw=0)


def test_without_validation_images_all_are_for_training() -> None:
    assert len(split(shots="full", validation="none").train) == 400
    assert counts(split(shots=7, validation="none").train) == [7] * 5
    left_out = RidgeProbe(dataset="pets", shots=7, draw=0, validation="loo")
    assert len(split_of(left_out, LABELS, 0).validation) == 0
    assert counts(split_of(left_out, LABELS, 0).train) == [7] * 5


def test_full_data_is_validated_on_the_official_set_where_there_is_one() -> None:
    found = split(shots="full", official=100)
    assert found.official and len(found.train) == 400 and len(found.validation) == 0


def test_full_data_without_an_official_set_gives_a_fifth_of_each_class() -> None:
    found = split(shots="full")
    assert counts(found.validation) == [round(0.2 * n) for n in np.bincount(LABELS)]
    assert sorted([*found.train, *found.validation]) == list(range(400))
    assert split(shots="full", draw=1).validation.tolist() != found.validation.tolist()


def test_a_fraction_is_held_out_at_few_shots_too_where_it_is_asked_for() -> None:
    found = split(shots=3, validation="fraction", val_fraction=0.5)
    assert counts(found.train) == [3] * 5
    assert len(found.validation) == pytest.approx(200, abs=5)


def test_other_classes_do_not_change_the_draw_of_one() -> None:
    """Adding a class at the end does not change the images of the others."""
    more = np.concatenate([LABELS, np.full(20, 5)])
    cases: list[dict[str, Any]] = [{"shots": 5}, {"shots": "full"}, {"shots": 5, "val_seed": 0}]
    for settings in cases:
        one, two = split(**settings), split(more, **settings)
        assert set(one.train) == {i for i in two.train if i < 400}
        assert set(one.validation) == {i for i in two.validation if i < 400}


def test_version_0_1_held_out_the_same_fifth_for_all_draws() -> None:
    older: dict[str, Any] = {"validation": "fraction", "val_seed": 0}
    one, two = split(draw=0, **older), split(draw=1, **older)
    assert one.validation.tolist() == two.validation.tolist()
    assert one.validation.tolist() == hold_out(LABELS, 0.2, seed=0).validation.tolist()
    assert one.train.tolist() != two.train.tolist()


def test_each_class_has_one_image_on_both_sides_at_least() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    for fraction in (0.01, 0.99):
        found = hold_out(labels, fraction, seed=0)
        assert set(labels[found.train]) == set(labels[found.validation]) == {0, 1}


def test_a_class_of_one_image_cannot_be_held_out() -> None:
    with pytest.raises(
        DataError, match="class 7 has one training image, but needs one for training"
    ):
        hold_out(np.array([1, 1, 7]), 0.2, seed=0)


def test_draws_are_pinned() -> None:
    """If this fails, new runs use other images than old runs of the same recipe."""
    labels = np.repeat(np.arange(3), 6)
    older: dict[str, Any] = {"validation": "fraction", "val_seed": 0, "val_fraction": 0.3}
    assert hold_out(labels, 0.3, seed=0).validation.tolist() == [2, 3, 7, 10, 13, 16]
    assert split(labels, shots=1, draw=0, **older).train.tolist() == [5, 6, 14]
    assert split(labels, shots=2, draw=2, **older).train.tolist() == [0, 4, 6, 11, 14, 17]
    new = split(labels, shots=2, draw=0)
    assert (new.train.tolist(), new.validation.tolist()) == (
        [1, 4, 6, 11, 13, 17],
        [2, 5, 8, 9, 14, 15],
    )
