"""Runs with a path inside: linear probes by logistic or ridge regression, nearest neighbors."""

from collections.abc import Callable

import torch
from torch import Tensor

from hpc_xfer.compute.finetuning.measurement import Measurement, hits_file
from hpc_xfer.compute.finetuning.probes.path_result import (
    FittedPath,
    Labeled,
    NeighborFit,
    RidgeFit,
    fit_logistic,
    fit_ridge,
    measure_path,
)
from hpc_xfer.compute.finetuning.run_inputs import ChosenImages, RunInputs
from hpc_xfer.compute.finetuning.scoring import scores_of_each
from hpc_xfer.config.finetune_recipes import (
    KNN,
    PENALTIES,
    LinearProbe,
    ProbeThenFinetune,
    RidgeProbe,
)
from hpc_xfer.errors import DataError

Recipe = LinearProbe | KNN
_LARGE = 1 << 24  # multiplications of one product with the Hessian: some 5 ms on a core


@torch.no_grad()
def measure(inputs: RunInputs, recipe: Recipe) -> Measurement:
    """Fit the probe at every value of its path, and measure all of them.

    At `full`, what is tested is fitted on the training and the validation images; validation scores
    are those of fits that did not see them.

    Raises:
        DataError: a feature is NaN or infinite.
    """
    train, validation = _labeled(inputs, inputs.train), _labeled(inputs, inputs.validation)
    values = _values(recipe, len(train))
    fit = _fit(inputs, recipe, values)
    fitted = final = fit(train)
    if recipe.shots == "full" and len(validation):
        final = fit(train.with_more(validation))
    result = measure_path(
        fitted,
        final,
        values,
        _validated(recipe, fitted, train, validation),
        {
            "test": _labeled(inputs, inputs.test),
            **{name: _labeled(inputs, subset) for name, subset in inputs.further.items()},
        },
    )
    assert recipe.path_key is not None
    return Measurement({}, hits_file(result.hits), path=result.as_json(recipe.path_key))


def _validated(
    recipe: Recipe, fitted: FittedPath, train: Labeled, validation: Labeled
) -> tuple[Tensor, Tensor] | None:
    """Logits (v, n, classes) and labels (n,) that the choice rests on; None without validation."""
    if len(validation):
        return fitted.logits(validation.features), validation.labels
    if recipe.validation == "loo" and isinstance(fitted, RidgeFit):
        return fitted.left_out(), train.labels
    return None


def head_for_finetuning(
    inputs: RunInputs, recipe: ProbeThenFinetune
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Fit the head from which lp-ft starts, and what the probe measured on validation.

    Without a given l2 the run's own validation images choose it; there is no pool of draws to ask,
    since the probe is a part of each run.

    Returns:
        Weights (classes, dim) and bias (classes,) for unit features.

    Raises:
        DataError: the probe does not converge at any penalty.
    """
    train, validation = _labeled(inputs, inputs.train), _labeled(inputs, inputs.validation)
    penalties = (recipe.l2,) if recipe.l2 is not None else PENALTIES.values
    classes = len(inputs.data.info.classes)
    fitted = fit_logistic(train, classes, penalties, inputs.liveness.touch)
    converged = [i for i, solution in enumerate(fitted.solutions) if solution.converged]
    if not converged:
        raise DataError("the probe of lp-ft does not converge at any l2; give a larger l2: ...")
    if not len(validation):
        return *fitted.head(0), {"probe_l2": penalties[0]}
    found = scores_of_each(fitted.logits(validation.features), validation.labels)
    ranks = list(zip(found["top1"], found["nll"], strict=True))
    best = min(converged, key=lambda i: (-ranks[i][0], ranks[i][1]))
    return *fitted.head(best), {"probe_l2": penalties[best], "probe_val_top1": ranks[best][0]}


def _fit(
    inputs: RunInputs, recipe: Recipe, values: tuple[float, ...]
) -> Callable[[Labeled], FittedPath]:
    classes, beat = len(inputs.data.info.classes), inputs.liveness.touch
    if isinstance(recipe, KNN):
        numbers = [int(value) for value in values]
        return lambda train: NeighborFit(train, classes, numbers, recipe.temperature, beat)
    if isinstance(recipe, RidgeProbe):
        return lambda train: fit_ridge(train, classes, values, beat)
    return lambda train: fit_logistic(train, classes, values, beat)


def _values(recipe: Recipe, images: int) -> tuple[float, ...]:
    """The path; of numbers of neighbors those that there are, at least one."""
    if isinstance(recipe, KNN):
        return tuple(k for k in recipe.path_values if k <= images) or (images,)
    return recipe.path_values


def _labeled(inputs: RunInputs, subset: ChosenImages) -> Labeled:
    """Features of a subset on the device, in float64 from there on."""
    if not len(subset):
        nothing = torch.empty(0, inputs.parent.towers.dim)
        return Labeled(nothing, torch.empty(0, dtype=torch.int64))
    device = _device(inputs)
    features = subset.features(inputs.liveness)
    return Labeled(features.to(device), subset.labels.to(device))


def _device(inputs: RunInputs) -> torch.device:
    """Choose where to solve: small problems wait longer for a GPU's kernels than they compute."""
    work = len(inputs.train) * inputs.parent.towers.dim * len(inputs.data.info.classes)
    return inputs.device if work >= _LARGE else torch.device("cpu")
