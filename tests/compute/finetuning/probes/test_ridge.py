"""Ridge regression: the closed form, and leaving one image out exactly."""

import numpy as np
import pytest
import torch

from hpc_xfer.compute.finetuning.probes.path_result import Labeled, fit_ridge
from hpc_xfer.compute.finetuning.probes.ridge import RidgePath
from hpc_xfer.compute.finetuning.probes.standardize import principal_axes, scale_of
from tests.compute.finetuning.probes.features import CLASSES, labeled

L2 = (1e1, 1e-1, 1e-3)


def prepared(per_class: int) -> tuple[torch.Tensor, torch.Tensor]:
    features, labels = labeled(per_class, seed=1)
    return principal_axes(scale_of(features).of(features))[0], labels


@pytest.mark.parametrize("per_class", [1, 5])
def test_scores_are_those_of_scikit_learn(per_class: int) -> None:
    from sklearn.linear_model import Ridge

    features, labels = prepared(per_class)
    path = RidgePath(features, labels, CLASSES)
    targets = np.eye(CLASSES)[labels.numpy()]
    for l2 in L2:
        theirs = Ridge(alpha=l2 * len(labels)).fit(features.numpy(), targets)
        expected = theirs.predict(features.numpy())
        assert np.allclose(path.scores(features, l2).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("per_class", [1, 4])
def test_leaving_one_out_equals_fitting_without_it(per_class: int) -> None:
    from sklearn.linear_model import Ridge

    features, labels = prepared(per_class)
    path, n = RidgePath(features, labels, CLASSES), len(labels)
    targets = np.eye(CLASSES)[labels.numpy()]
    for l2 in L2:
        found = path.left_out_scores(l2).numpy()
        for i in range(n):
            rest = np.arange(n) != i
            fitted = Ridge(alpha=l2 * n).fit(features.numpy()[rest], targets[rest])
            assert np.allclose(found[i], fitted.predict(features.numpy()[i : i + 1]), atol=1e-8)


def test_the_temperature_changes_likelihood_and_no_guess() -> None:
    features, labels = labeled(5, seed=1)
    fitted = fit_ridge(Labeled(features, labels), CLASSES, L2)
    logits = fitted.logits(features)
    rotated = fitted.scale.of(features) @ fitted.axes.T
    for i, l2 in enumerate(L2):
        assert torch.equal(logits[i].argmax(1), fitted.path.scores(rotated, l2).argmax(1))


def test_classes_without_an_image_keep_finite_scores() -> None:
    features, labels = labeled(3, seed=1)
    some = labels != 2
    fitted = fit_ridge(Labeled(features[some], labels[some]), CLASSES, L2)
    assert bool(fitted.logits(features).isfinite().all())
