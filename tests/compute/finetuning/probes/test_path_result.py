"""A path measured whole: validation, test, further sets, hits; and nearest neighbors."""

import json

import numpy as np
import pytest
import torch

from hpc_xfer.compute.finetuning.probes.neighbors import votes_of_path
from hpc_xfer.compute.finetuning.probes.path_result import (
    Labeled,
    fit_logistic,
    fit_ridge,
    measure_path,
)
from tests.compute.finetuning.probes.features import CLASSES, labeled

L2 = (1e1, 1e-1, 1e-3)
TRAIN, VAL, TEST, FURTHER = (Labeled(*labeled(n, seed=n)) for n in (5, 4, 30, 10))


def test_a_path_has_every_score_at_every_value() -> None:
    fitted = fit_logistic(TRAIN, CLASSES, L2)
    result = measure_path(
        fitted,
        fitted,
        L2,
        (fitted.logits(VAL.features), VAL.labels),
        {"test": TEST, "cifair": FURTHER},
    )
    path = json.loads(json.dumps(result.as_json("l2")))
    assert (path["key"], path["values"], path["converged"]) == ("l2", list(L2), [True] * 3)
    for name in ("val_top1", "val_nll", "test_top1", "test_ece", "cifair_top1", "gradient_norm"):
        assert len(path[name]) == 3
    bits = np.unpackbits(result.hits, axis=-1, count=len(TEST))
    assert bits.mean(axis=1).tolist() == pytest.approx(path["test_top1"])


def test_what_is_tested_may_be_fitted_again_with_the_validation_images() -> None:
    fitted = fit_logistic(TRAIN, CLASSES, L2)
    final = fit_logistic(TRAIN.with_more(VAL), CLASSES, L2)
    once = measure_path(
        fitted, fitted, L2, (fitted.logits(VAL.features), VAL.labels), {"test": TEST}
    ).scores
    again = measure_path(
        fitted, final, L2, (fitted.logits(VAL.features), VAL.labels), {"test": TEST}
    ).scores
    assert once["val_top1"] == again["val_top1"]
    assert sum(again["test_nll"]) < sum(once["test_nll"])  # more images


def test_left_out_images_stand_for_validation() -> None:
    fitted = fit_ridge(TRAIN, CLASSES, L2)
    result = measure_path(fitted, fitted, L2, (fitted.left_out(), TRAIN.labels), {"test": TEST})
    assert len(result.scores["val_top1"]) == 3
    assert "gradient_norm" not in result.scores and all(result.converged)


def test_without_validation_there_are_test_scores_alone() -> None:
    fitted = fit_logistic(TRAIN, CLASSES, L2[:1])
    result = measure_path(fitted, fitted, L2[:1], None, {"test": TEST})
    assert not any(name.startswith("val_") for name in result.scores)


def test_neighbors_vote_by_similarity() -> None:
    known = torch.tensor([[1.0, 0], [0.8, 0.6], [0, 1]])
    labels, query = torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0]])
    found = votes_of_path(known, labels, 2, query, (1, 2, 3), 0.5).exp()[:, 0]
    one, two, three = 1.0, np.exp(-0.2 / 0.5), np.exp(-1 / 0.5)
    assert found[0].tolist() == pytest.approx([1, 0], abs=1e-5)
    assert found[1].tolist() == pytest.approx([one / (one + two), two / (one + two)], abs=1e-5)
    assert found[2, 0].item() == pytest.approx(one / (one + two + three), abs=1e-5)


def test_neighbors_do_not_depend_on_how_many_are_asked_at_once() -> None:
    queries = TEST.features.repeat(8, 1)
    whole = votes_of_path(TRAIN.features, TRAIN.labels, CLASSES, queries, (1, 5), 0.07)
    part = votes_of_path(TRAIN.features, TRAIN.labels, CLASSES, TEST.features, (1, 5), 0.07)
    assert torch.allclose(whole[:, : len(TEST)], part)
