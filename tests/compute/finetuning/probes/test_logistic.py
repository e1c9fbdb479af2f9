"""Logistic regression: converged, equal to scikit-learn's, the same from any start."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hpc_xfer.compute.finetuning.probes.logistic import solve_path, tolerance
from hpc_xfer.compute.finetuning.probes.path_result import Labeled, fit_logistic
from hpc_xfer.compute.finetuning.probes.standardize import principal_axes, scale_of
from hpc_xfer.config.finetune_recipes import LogisticProbe
from hpc_xfer.errors import DataError
from tests.compute.finetuning.probes.features import CLASSES, labeled

PATH = LogisticProbe(dataset="a", shots=1, draw=0).path_values


def rotated(per_class: int) -> tuple[torch.Tensor, torch.Tensor]:
    features, labels = labeled(per_class, seed=1)
    return principal_axes(scale_of(features).of(features))[0], labels


@pytest.mark.parametrize("per_class", [1, 5, 40])
def test_every_value_of_the_path_converges(per_class: int) -> None:
    features, labels = rotated(per_class)
    solutions = list(solve_path(features, labels, CLASSES, PATH))
    assert [solution.l2 for solution in solutions] == list(PATH)
    assert all(solution.converged for solution in solutions)
    assert all(solution.gradient_norm <= tolerance(solution.l2) for solution in solutions)


@pytest.mark.parametrize("per_class", [1, 5, 40])
@pytest.mark.parametrize("l2", [1e-1, 1e-3, 1e-5])
def test_the_optimum_is_that_of_scikit_learn(per_class: int, l2: float) -> None:
    from sklearn.linear_model import LogisticRegression

    raw, labels = labeled(per_class, seed=1)
    scale = scale_of(raw)
    features, axes = principal_axes(scale.of(raw))
    unseen = scale.of(labeled(50, seed=2)[0]) @ axes.T
    strength = 1 / (l2 * len(labels))  # its objective is a sum over images, not a mean
    theirs = LogisticRegression(C=strength, tol=1e-12, max_iter=100_000)
    theirs.fit(features.numpy(), labels.numpy())
    *_, ours = solve_path(features, labels, CLASSES, [v for v in PATH if v > l2] + [l2])
    coefficients = torch.from_numpy(theirs.coef_), torch.from_numpy(theirs.intercept_)
    best = objective(features, labels, *coefficients, l2)
    found = objective(features, labels, ours.weights, ours.bias, l2)
    assert best - 1e-9 < found < best + 3e-7
    guesses = ours.logits(unseen).argmax(dim=1)
    same = guesses.eq(torch.from_numpy(theirs.predict(unseen.numpy())))
    assert same.double().mean() >= 0.99  # of images that training never saw


def objective(features: Tensor, labels: Tensor, weights: Tensor, bias: Tensor, l2: float) -> float:
    loss = F.cross_entropy(features @ weights.T + bias, labels)
    return float(loss + l2 / 2 * weights.pow(2).sum())


def test_a_value_has_the_same_optimum_alone_and_along_the_path() -> None:
    features, labels = rotated(5)
    along = {s.l2: s for s in solve_path(features, labels, CLASSES, PATH)}
    for l2 in PATH[::11]:
        [alone] = solve_path(features, labels, CLASSES, [l2])
        loss = [objective(features, labels, s.weights, s.bias, l2) for s in (alone, along[l2])]
        assert loss[0] == pytest.approx(loss[1], abs=3e-7)


def test_the_same_images_give_the_same_bits() -> None:
    features, labels = rotated(5)
    one, two = (list(solve_path(features, labels, CLASSES, PATH)) for _ in range(2))
    assert all(torch.equal(a.weights, b.weights) for a, b in zip(one, two, strict=True))


def test_a_class_without_an_image_is_never_chosen_and_has_a_finite_loss() -> None:
    features, labels = labeled(5, seed=1)
    some = labels != 3
    fitted = fit_logistic(Labeled(features[some], labels[some]), CLASSES, PATH)
    logits = fitted.logits(features)
    assert not bool((logits.argmax(dim=2) == 3).any())
    assert bool(F.log_softmax(logits, dim=2).isfinite().all())


@pytest.mark.parametrize("case", ["one class", "one image", "all alike", "more images than axes"])
def test_odd_training_sets_have_a_solution(case: str) -> None:
    features, labels = labeled(5, seed=1)
    if case == "one class":
        features, labels = features[labels == 0], labels[labels == 0]
    elif case == "one image":
        features, labels = features[:1], labels[:1]
    elif case == "all alike":
        features = features[:1].expand(len(labels), -1)
    else:
        features, labels = features[:, :2], labels
    fitted = fit_logistic(Labeled(features, labels), CLASSES, PATH)
    assert all(solution.converged for solution in fitted.solutions)
    assert bool(fitted.logits(features).isfinite().all())


def test_features_that_are_not_finite_are_an_error() -> None:
    features, labels = labeled(2, seed=1)
    features[3, 0] = float("nan")
    with pytest.raises(DataError, match="the features of training image 3 are not finite"):
        fit_logistic(Labeled(features, labels), CLASSES, PATH)


def test_a_head_for_raw_features_gives_the_logits_of_the_probe() -> None:
    features, labels = labeled(5, seed=1)
    fitted = fit_logistic(Labeled(features, labels), CLASSES, PATH)
    weights, bias = fitted.head(7)
    assert torch.allclose(features.double() @ weights.T + bias, fitted.logits(features)[7])


@pytest.mark.gpu
def test_a_gpu_finds_the_optimum_of_the_cpu() -> None:
    features, labels = labeled(20, seed=1)
    here = fit_logistic(Labeled(features, labels), CLASSES, PATH).logits(features)
    there = fit_logistic(Labeled(features.cuda(), labels.cuda()), CLASSES, PATH)
    assert torch.allclose(
        there.logits(features.cuda()).cpu().softmax(2), here.softmax(2), atol=1e-3
    )
