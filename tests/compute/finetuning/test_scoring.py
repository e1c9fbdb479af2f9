"""Scores by hand, and against scikit-learn's."""

import math

import numpy as np
import pytest
import torch

from hpc_xfer.compute.finetuning.scoring import (
    METRICS,
    hits,
    named_scores,
    packed_hits,
    scores,
    scores_of_each,
)


def test_accuracies_by_hand() -> None:
    logits = torch.tensor([[3.0, 1, 2], [1, 3, 2], [1, 2, 3], [3, 2, 1]])
    labels = torch.tensor([0, 1, 0, 0])
    assert hits(logits, labels).tolist() == [True, True, False, True]
    found = scores(logits, labels)
    assert found["top1"] == 3 / 4 and found["top5"] == 1
    assert found["per_class"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 1 + 0) / 3)  # class 2 is guessed once
    six = torch.arange(6.0).expand(6, 6)
    assert scores(six, torch.arange(6))["top5"] == pytest.approx(5 / 6)


def test_likelihood_and_calibration_by_hand() -> None:
    half = torch.zeros(4, 2)  # confidence 0.5, right in half of the cases
    found = scores(half, torch.tensor([0, 1, 0, 1]))
    assert found["nll"] == pytest.approx(math.log(2))
    assert found["ece"] == pytest.approx(0)
    sure = torch.tensor([[9.0, -9.0]] * 4)  # confidence 1, right in a quarter
    assert scores(sure, torch.tensor([0, 1, 1, 1]))["ece"] == pytest.approx(0.75, abs=1e-6)


def test_ties_count_the_same_in_hits_and_accuracies() -> None:
    labels = torch.arange(40) % 20
    found = scores(torch.zeros(40, 20), labels)
    assert found["top1"] == hits(torch.zeros(40, 20), labels).double().mean() == 1 / 20
    assert found["top5"] >= found["top1"]


@pytest.mark.parametrize("classes", [2, 7, 30])
def test_scores_are_those_of_scikit_learn(classes: int) -> None:
    from sklearn import metrics

    rng = torch.Generator().manual_seed(classes)
    logits = torch.randn(200, classes, generator=rng)
    labels = torch.randint(0, max(2, classes - 1), (200,), generator=rng)  # one class is absent
    found, guesses = scores(logits, labels), logits.argmax(dim=1)
    shares = logits.double().softmax(dim=1).numpy()
    assert found["top1"] == metrics.accuracy_score(labels, guesses)
    occur = np.union1d(labels, guesses)
    assert found["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, guesses, labels=occur, average="macro")
    )
    recalls = metrics.recall_score(labels, guesses, labels=np.unique(labels), average=None)
    assert found["per_class"] == pytest.approx(recalls.mean())
    assert found["nll"] == pytest.approx(
        metrics.log_loss(labels, shares, labels=np.arange(classes))
    )


def test_several_classifiers_at_once_are_scored_as_one_by_one() -> None:
    logits = torch.randn(5, 60, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 8
    together = scores_of_each(logits, labels)
    for i in range(5):
        assert scores(logits[i], labels) == {name: together[name][i] for name in METRICS}


def test_hits_are_one_bit_per_image() -> None:
    logits = torch.randn(3, 21, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(21) % 4
    packed = packed_hits(logits, labels)
    assert packed.shape == (3, 3)
    bits = np.unpackbits(packed, axis=-1, count=21)
    assert bits.mean(axis=1).tolist() == pytest.approx(scores_of_each(logits, labels)["top1"])


def test_names_say_which_images_were_scored() -> None:
    found = named_scores("cifair", torch.zeros(2, 2), torch.tensor([0, 1]))
    assert set(found) == {f"cifair_{name}" for name in METRICS}
