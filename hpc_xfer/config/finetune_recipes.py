"""Recipes of fine-tuning runs: one class per way to adapt an encoder to a data set.

finetune_class("lp", "ridge")      # the class of a mode; `lp` has three solvers

A run of `ft`, `lp-ft` or `lp` with AdamW has one value of each setting. A run of the other two
solvers, or of k nearest neighbors, has a path inside: it measures all values of one setting.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from hpc_xfer.config.recipes import Crop, Precision
from hpc_xfer.config.schema import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StrictModel,
)

Shots = PositiveInt | Literal["full"]
Mode = Literal["ft", "lp", "lp-ft", "zeroshot", "knn"]
Validation = Literal["few", "fraction", "loo", "none"]
MODES = ("ft", "lp", "lp-ft", "zeroshot", "knn")
SOLVERS = ("logistic", "ridge", "adamw")
FEW = 4  # validation images per class with `few`, at most


class Finetune(StrictModel):
    """The base: a parent's encoder, measured on one draw of one data set."""

    tunable: ClassVar[tuple[str, ...]] = ()  # settings that a grid may tune
    path_key: ClassVar[str | None] = None  # the setting whose values one run measures
    trains_on_shots: ClassVar[bool] = True
    trains_encoder: ClassVar[bool] = False

    dataset: str
    shots: Shots | Literal[0]
    draw: NonNegativeInt  # which few-shot subset; the same images for every parent
    mode: Mode
    validation: Validation = "few"  # few: min(shots, 4) per class, outside of the shots
    val_fraction: float = Field(default=0.2, gt=0, lt=1)  # of the training set; at `full`
    val_seed: NonNegativeInt | None = None  # None: validation images follow the draw
    precision: Precision = "fp32"
    snapshot: PositiveInt | None = None  # of the parent, by samples seen; None: its final encoder

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but what is measured where: data set, shots, draw, parent and tuned values."""
        left_out = {"dataset", "shots", "draw", "snapshot", *self.tunable}
        return {
            key: value
            for key, value in self.model_dump(mode="json", exclude_none=True).items()
            if key not in left_out
        }

    @property
    def value(self) -> float | int | None:
        """The single value of a path run that has no path."""
        return getattr(self, self.path_key) if self.path_key else None

    @field_validator("dataset")
    @classmethod
    def _plain(cls, name: str) -> str:
        bare = name.removeprefix("torchvision:")
        if not bare.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{name!r} is not a data set name; use letters, digits, - and _")
        return name

    @model_validator(mode="after")
    def _path_needs_validation(self) -> "Finetune":
        if self.path_key and self.validation == "none" and self.value is None:
            raise ValueError(
                f"validation is none, so there is no choice along a path; give {self.path_key}: ..."
            )
        if self.validation == "loo" and not isinstance(self, RidgeProbe):
            raise ValueError(
                "validation: loo has a closed form for mode lp with solver: ridge only; use few"
            )
        return self


class AdamWFinetune(Finetune):
    """The base of what AdamW trains step by step."""

    tunable = ("lr", "weight_decay", "epochs")

    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 0.1  # not on biases and norms (dims < 2)
    epochs: PositiveInt = 128
    min_steps: NonNegativeInt | None = 50  # a floor: one epoch of 1 shot is a step or two
    batch: PositiveInt = 128
    warmup_steps: NonNegativeInt = 500
    warmup_cap: bool = True  # at most 10% of the steps are used
    grad_clip: PositiveFloat | None = 1.0
    label_smoothing: Fraction = 0.0
    head: Literal["auto", "zero"] = "auto"  # auto: zero-shot text weights if the parent has text
    seed: NonNegativeInt = 0  # of order and augmentation
    max_steps: PositiveInt | None = None  # for rehearsals
    crop: Crop = Crop(scale=(0.08, 1.0))
    flip: bool = True
    randaugment: bool | Literal["increasing"] = True  # two operations of magnitude 9
    erase: Fraction = 0.25  # probability of random erasing
    batch_norm: Literal["train", "frozen", "recalibrate"] = "train"


class FullFinetune(AdamWFinetune):
    """Train all weights, with a head that starts from text or from zero."""

    trains_encoder = True

    mode: Literal["ft"] = "ft"
    layer_decay: float | None = Field(default=None, gt=0, le=1)  # of the lr, per block or stage
    drop_path: float | None = Field(
        default=None, ge=0, lt=1
    )  # largest rate of stochastic depth, at the last block of ViT
    decay_all: bool = False  # weight decay on biases and norms too, as in the paper's code
    select: Literal["validation", "test"] = "validation"  # test: the paper's best epoch on test


class ProbeThenFinetune(FullFinetune):
    """Fine-tuning whose head starts from a converged probe: LP-FT (Kumar et al. 2022)."""

    mode: Literal["lp-ft"] = "lp-ft"  # type: ignore[assignment]  # narrower than that of the base
    l2: PositiveFloat | None = None  # of the probe; None: the run's validation images choose it

    @model_validator(mode="after")
    def _probe_needs_validation(self) -> "ProbeThenFinetune":
        if self.validation == "none" and self.l2 is None:
            raise ValueError("validation is none, so nothing chooses the l2 of lp-ft; give l2: ...")
        return self


class AdamWProbe(AdamWFinetune):
    """A linear head on frozen features, trained by AdamW for some epochs: not converged."""

    mode: Literal["lp"] = "lp"
    solver: Literal["adamw"] = "adamw"
    head: Literal["auto", "zero"] = "zero"


class L2Path(StrictModel):
    """Values of l2 at equal ratios; the objective is mean loss + l2/2 |W|^2."""

    low: PositiveFloat
    high: PositiveFloat
    count: PositiveInt = 45

    @model_validator(mode="after")
    def _ascending(self) -> "L2Path":
        if self.low >= self.high or self.count < 3:
            raise ValueError("a path has low below high, and three values or more")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """All values, the largest first: solutions start from that of the larger value."""
        ratio = (self.low / self.high) ** (1 / (self.count - 1))
        return tuple(float(f"{self.high * ratio**i:.6g}") for i in range(self.count))


PENALTIES = L2Path(low=1e-8, high=1e2)  # unit: the mean squared norm of centered features


class LinearProbe(Finetune):
    """A converged linear classifier on frozen features: what the features hold."""

    path_key = "l2"

    mode: Literal["lp"] = "lp"
    l2: PositiveFloat | None = None  # one value instead of the path
    path: L2Path

    @property
    def path_values(self) -> tuple[float, ...]:
        return self.path.values if self.l2 is None else (self.l2,)


class LogisticProbe(LinearProbe):
    """Multinomial logistic regression with L2."""

    solver: Literal["logistic"] = "logistic"
    path: L2Path = PENALTIES


class RidgeProbe(LinearProbe):
    """Least squares with L2, one class against the others, in closed form."""

    solver: Literal["ridge"] = "ridge"
    path: L2Path = PENALTIES


class KNN(Finetune):
    """k nearest neighbors by cosine similarity, weighted by exp(similarity / temperature)."""

    path_key = "k"

    mode: Literal["knn"] = "knn"
    k: PositiveInt | None = None  # one value instead of the path
    neighbors: tuple[PositiveInt, ...] = (1, 2, 5, 10, 20, 50, 100, 200)
    temperature: PositiveFloat = 0.07

    @property
    def path_values(self) -> tuple[int, ...]:
        return self.neighbors if self.k is None else (self.k,)


class ZeroShot(Finetune):
    """Class names as a classifier, for parents with a text tower; no label is used."""

    trains_on_shots = False

    shots: Literal[0] = 0
    draw: Literal[0] = 0
    mode: Literal["zeroshot"] = "zeroshot"
    validation: Literal["none"] = "none"


PathProbe = LinearProbe | KNN


def finetune_class(mode: str, solver: str = "logistic") -> type[Finetune]:
    """Return the recipe class of a mode; only `lp` has a choice of solvers."""
    if mode == "lp":
        return _PROBES[solver]
    return _MODES[mode]


_PROBES: dict[str, type[Finetune]] = {
    "logistic": LogisticProbe,
    "ridge": RidgeProbe,
    "adamw": AdamWProbe,
}
_MODES: dict[str, type[Finetune]] = {
    "ft": FullFinetune,
    "lp-ft": ProbeThenFinetune,
    "zeroshot": ZeroShot,
    "knn": KNN,
}
