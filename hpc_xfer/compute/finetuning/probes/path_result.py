"""Measure a probe along its path: validation, test and further test sets at every value."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpc_xfer.compute.finetuning.probes.logistic import Solution, solve_path
from hpc_xfer.compute.finetuning.probes.neighbors import votes_of_path
from hpc_xfer.compute.finetuning.probes.ridge import RidgePath, logits_of_path
from hpc_xfer.compute.finetuning.probes.standardize import Scale, principal_axes, scale_of
from hpc_xfer.compute.finetuning.scoring import packed_hits, scores_of_each

Item = TypeVar("Item")


@dataclass(frozen=True)
class Labeled:
    """Unit features (n, d) of some images, and their labels int64 (n,)."""

    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def with_more(self, other: "Labeled") -> "Labeled":
        return Labeled(
            torch.cat([self.features, other.features]), torch.cat([self.labels, other.labels])
        )


class FittedPath(Protocol):
    """A probe fitted at every value of its path."""

    def logits(self, features: Tensor) -> Tensor:
        """Unit features (m, d) -> logits (v, m, classes)."""
        ...


Fit = Callable[[Labeled], FittedPath]


@dataclass(frozen=True)
class LogisticFit:
    """Logistic regressions, by penalty."""

    scale: Scale
    axes: Tensor
    solutions: Sequence[Solution]
    beat: Callable[[], object] = lambda: None  # a sign of life

    def logits(self, features: Tensor) -> Tensor:
        rotated = self.scale.of(features) @ self.axes.T
        told = _with_beats(self.solutions, self.beat)
        return torch.stack([solution.logits(rotated) for solution in told])

    def head(self, place: int) -> tuple[Tensor, Tensor]:
        """Weights (classes, d) and bias (classes,) for unit features, at one value of the path."""
        solution = self.solutions[place]
        return self.scale.undone(solution.weights @ self.axes, solution.bias)


def fit_logistic(
    train: Labeled,
    classes: int,
    penalties: Sequence[float],
    beat: Callable[[], object] = lambda: None,
) -> LogisticFit:
    """Fit logistic regression at each penalty."""
    scale = scale_of(train.features)
    rotated, axes = principal_axes(scale.of(train.features))
    solutions = list(solve_path(rotated, train.labels, classes, penalties, beat))
    return LogisticFit(scale, axes, solutions, beat)


@dataclass(frozen=True)
class RidgeFit:
    """Ridge regressions, by penalty."""

    scale: Scale
    axes: Tensor
    path: RidgePath
    penalties: Sequence[float]
    beat: Callable[[], object] = lambda: None  # a sign of life

    def logits(self, features: Tensor) -> Tensor:
        rotated = self.scale.of(features) @ self.axes.T
        return logits_of_path(self.path, rotated, _with_beats(self.penalties, self.beat))

    def left_out(self) -> Tensor:
        """Logits (v, n, classes) of the training images, each left out of its own fit."""
        path, told = self.path, _with_beats(self.penalties, self.beat)
        return torch.stack([path.temperature(l2) * path.left_out_scores(l2) for l2 in told])


def _with_beats(values: Iterable[Item], beat: Callable[[], object]) -> Iterator[Item]:
    """Yield the values of a path; each product with all images may take minutes."""
    for value in values:
        beat()
        yield value


def fit_ridge(
    train: Labeled,
    classes: int,
    penalties: Sequence[float],
    beat: Callable[[], object] = lambda: None,
) -> RidgeFit:
    """Fit ridge regression at each penalty."""
    scale = scale_of(train.features)
    rotated, axes = principal_axes(scale.of(train.features))
    return RidgeFit(scale, axes, RidgePath(rotated, train.labels, classes), penalties, beat)


@dataclass(frozen=True)
class NeighborFit:
    """Nearest neighbors, by their number."""

    train: Labeled
    classes: int
    neighbors: Sequence[int]
    temperature: float
    beat: Callable[[], object]

    def logits(self, features: Tensor) -> Tensor:
        known = self.train
        return votes_of_path(
            known.features, known.labels, self.classes, features, self.neighbors,
            self.temperature, self.beat,
        )  # fmt: skip


@dataclass(frozen=True)
class PathResult:
    """Scores at every value of a path; all lists are as long as `values`."""

    values: tuple[float, ...]
    scores: dict[str, list[float]]  # val_top1, test_top1, ..., gradient_norm
    converged: list[bool]
    hits: NDArray[np.uint8] = field(repr=False)  # (values, bytes), one bit per test image

    def as_json(self, key: str) -> dict[str, Any]:
        """The `path` of a record."""
        return {
            "key": key,
            "values": list(self.values),
            **{name: _rounded(values) for name, values in self.scores.items()},
            "converged": self.converged,
        }


def measure_path(
    fitted: FittedPath,
    final: FittedPath,
    values: Sequence[float],
    validation: tuple[Tensor, Tensor] | None,
    tests: Mapping[str, Labeled],
) -> PathResult:
    """Score the fits of a path.

    Args:
        fitted: on the training images.
        final: measured on test sets; at `full` it is fitted on validation images too.
        values: of the path.
        validation: logits (v, n, classes) of images that no fit saw, and their labels (n,).
        tests: test sets by the prefix of their scores; `test` first.
    """
    found: dict[str, list[float]] = {}
    if validation is not None:
        found |= _named("val", scores_of_each(*validation))
    hits: NDArray[np.uint8] | None = None
    for name, images in tests.items():
        scores, packed = _scored(name, final, images)
        found |= scores
        hits = packed if name == "test" else hits
    assert hits is not None, "tests has the test set"
    fits = [fitted] if fitted is final else [fitted, final]
    norms = [[s.gradient_norm for s in f.solutions] for f in fits if isinstance(f, LogisticFit)]
    converged = [[s.converged for s in f.solutions] for f in fits if isinstance(f, LogisticFit)]
    if norms:
        found["gradient_norm"] = [max(each) for each in zip(*norms, strict=True)]
    told = [all(each) for each in zip(*converged, strict=True)] or [True] * len(values)
    return PathResult(tuple(values), found, told, hits)


def _scored(
    name: str, fitted: FittedPath, images: Labeled
) -> tuple[dict[str, list[float]], NDArray[np.uint8]]:
    logits = fitted.logits(images.features)
    labels = images.labels.to(logits.device)
    return _named(name, scores_of_each(logits, labels)), packed_hits(logits, labels)


def _named(name: str, scores: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {f"{name}_{metric}": values for metric, values in scores.items()}


def _rounded(values: Sequence[float]) -> list[float]:
    """Seven digits: a share of 10,000 images has four, and a study has 40,000 paths."""
    return [float(f"{value:.7g}") for value in values]
