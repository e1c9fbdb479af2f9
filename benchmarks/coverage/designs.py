"""Studies with made-up accuracies whose true values are known.

An accuracy is label + draw + label x draw + seed + run + test images, all independent and normal.
A label has one learning rate of four per pre-training and data set, chosen on a few validation
images by the mean over draws, as `collect` chooses it. In points:

                draw   label x draw   seed   run   test images
    few shots    3.0       1.2         1.0    0.6      1,000
    full data     -         -          0.5    0.3      5,000

Half of the variance of a seed is the same on all data sets: a good pre-training is good everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.results.estimators.crossed import Values

LABELS = tuple("abcdefg")
RATES = (-3.0, -0.5, 0.0, -1.5)  # points that each learning rate is worse than the best
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Luck:
    """Standard deviations in points."""

    draw: float
    label_draw: float
    seed: float
    run: float
    validation: float  # of the validation accuracy of one run
    images: int  # test images
    image_common: float  # variance over test images of a hit: easy for all labels or for none
    image_own: float  # and of one label


FEW = Luck(3.0, 1.2, 1.0, 0.6, 1.0, 1000, 0.14, 0.06)
FULL = Luck(0.0, 0.0, 0.5, 0.3, 0.3, 5000, 0.09, 0.03)


@dataclass(frozen=True)
class Design:
    """Numbers of seeds, draws and data sets of a study, and how much luck is in them."""

    name: str
    luck: Luck
    seeds: int
    draws: int
    sets: int = 1
    scratch_seeds: int | None = None  # of the first label; as many as the others by default

    @property
    def draws_matter(self) -> bool:
        return self.luck is FEW


DESIGNS = (
    Design("few 1x3", FEW, 1, 3),
    Design("few 1x10", FEW, 1, 10),
    Design("few 2x2", FEW, 2, 2),
    Design("few 3x3", FEW, 3, 3),
    Design("few 3x3, scratch 1x3", FEW, 3, 3, scratch_seeds=1),
    Design("few 3x10", FEW, 3, 10),
    Design("few 5x5", FEW, 5, 5),
    Design("full 1x3", FULL, 1, 3),
    Design("full 3x1", FULL, 3, 1),
    Design("nine sets, few 1x3", FEW, 1, 3, sets=9),
    Design("nine sets, few 3x3", FEW, 3, 3, sets=9),
    Design("nine sets, full 1x3", FULL, 1, 3, sets=9),
)


@dataclass(frozen=True)
class Study:
    """One simulated study; true values are shares, per label."""

    design: Design
    tables: Sequence[Mapping[str, Values]]  # per data set
    truths: Mapping[str, Mapping[str, float]]  # target -> label -> true mean
    image_variance: float  # of a mean over the data sets, as measured on the test images
    image_variance_of_gain: float


def simulate(
    design: Design,
    effects: Sequence[float],
    repetitions: int,
    random: np.random.Generator,
    *,
    seeds_differ: bool = True,
    images_differ: bool = True,
    tuned: bool = True,
) -> Iterator[Study]:
    """Yield so many studies.

    The targets are E1, E2 and E3. E1 takes the learning rate of each pre-training as this study
    chose it. "E1, chosen anew" does not: with other draws, another one may be chosen.

    Args:
        effects: points by which each label is above the first.
        seeds_differ: False for pre-trainings that are all as good as their label.
        images_differ: False where no label is better on just these test images.
        tuned: False for one learning rate, so that there is no luck of the choice.
    """
    luck, labels = design.luck, len(effects)
    per_set = (repetitions, design.sets, labels, design.seeds)
    common = random.normal(0, 1, (repetitions, 1, labels, design.seeds))
    seed = luck.seed * np.sqrt(0.5) * (common + random.normal(0, 1, per_set))
    seed *= seeds_differ
    draw = random.normal(0, luck.draw, (repetitions, design.sets, 1, 1, design.draws))
    shape = (repetitions, design.sets, labels, 1, design.draws)
    label_draw = random.normal(0, luck.label_draw, shape)
    rates = np.asarray(RATES if tuned else (0.0,))
    picked, rate = pick(luck, rates, (*per_set, design.draws), random)
    images = luck_of_images(luck, (repetitions, design.sets, labels), random, images_differ)
    level = 40 + np.asarray(effects)
    accuracy = (level + images)[..., None, None] + seed[..., None] + draw + label_draw
    accuracy += picked
    measured = random.chisquare(luck.images - 1, repetitions) / (luck.images - 1)
    lucky, of_rate = expected_pick(luck, rates, design.draws)
    for i in range(repetitions):
        wide = level + lucky + of_rate
        narrow = wide + images[i].mean(axis=0)
        counts = _seeds(design, labels)
        own = narrow + _over_seeds(seed[i], counts)
        yield Study(
            design,
            [_tables(of_set, counts) for of_set in accuracy[i]],
            {
                "E1": _named(own + _over_seeds(rate[i], counts) - of_rate),
                "E1, chosen anew": _named(own),
                "E2": _named(narrow),
                "E3": _named(wide),
            },
            measured[i] * _image_variance(design, gain=False),
            measured[i] * _image_variance(design, gain=True),
        )


def pick(
    luck: Luck, rates: Array, shape: tuple[int, ...], random: np.random.Generator
) -> tuple[Array, Array]:
    """Luck of the run and offset of the learning rate chosen, (..., draws), and this offset."""
    runs = rates + random.normal(0, luck.run, (*shape, len(rates)))
    validation = runs + random.normal(0, luck.validation, runs.shape)
    chosen = validation.mean(axis=-2, keepdims=True).argmax(axis=-1, keepdims=True)
    return np.take_along_axis(runs, chosen, axis=-1)[..., 0], rates[chosen[..., 0, 0]]


def expected_pick(luck: Luck, rates: Array, draws: int) -> tuple[float, float]:
    """Mean luck of the runs chosen, and mean offset of the learning rates; to 0.002 points."""
    picked, rate = pick(luck, rates, (100_000, draws), np.random.default_rng(99))
    return float(picked.mean() - rate.mean()), float(rate.mean())


def luck_of_images(
    luck: Luck, shape: tuple[int, ...], random: np.random.Generator, differ: bool
) -> Array:
    """Luck of the test images, in points, for (..., labels)."""
    per_point = 100 / np.sqrt(luck.images)
    common = random.normal(0, np.sqrt(luck.image_common) * per_point, (*shape[:-1], 1))
    own = random.normal(0, np.sqrt(luck.image_own) * per_point, shape)
    return common + own * differ


def _image_variance(design: Design, gain: bool) -> float:
    """Variance over images of the mean hit, over their number: as seen, the luck of runs in it."""
    luck = design.luck
    runs = luck.run**2 / 1e4 / (design.seeds * design.draws)
    own = luck.image_own / luck.images + runs
    return (2 * own if gain else own + luck.image_common / luck.images) / design.sets


def _over_seeds(values: Array, counts: Sequence[int]) -> Array:
    """Mean per label over data sets and the seeds that it has, of sets x labels x seeds."""
    return np.array([values[:, i, :count].mean() for i, count in enumerate(counts)])


def _seeds(design: Design, labels: int) -> list[int]:
    first = design.seeds if design.scratch_seeds is None else design.scratch_seeds
    return [first, *[design.seeds] * (labels - 1)]


def _tables(accuracy: Array, counts: Sequence[int]) -> dict[str, Values]:
    """Label -> (seed, draw) -> share, of points in labels x seeds x draws."""
    return {
        LABELS[i]: {
            (str(seed), str(draw)): value / 100
            for seed, of_seed in enumerate(table[: counts[i]])
            for draw, value in enumerate(of_seed)
        }
        for i, table in enumerate(accuracy.tolist())
    }


def _named(points: Array) -> dict[str, float]:
    return dict(zip(LABELS, (np.asarray(points) / 100).tolist(), strict=False))
