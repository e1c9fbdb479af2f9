"""Recipes: everything that decides a result, and nothing else. Run ids are their hashes.

Where and how fast a run is executed (GPUs, workers, paths) is in resources.py and site.py.
Defaults follow sections 2 and 4 of the study "The Role of Pre-training Data in Transfer Learning"
(arXiv 2302.13602) and its public code; a comment gives the reason for each exception.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from hpc_xfer.config.arch_files.limits import ArchName, TextConfig, VisionConfig, Width
from hpc_xfer.config.schema import (
    Fraction,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StrictModel,
)
from hpc_xfer.config.training_data.captions import (
    Caption,
    Target,
    caption_targets,
    label_target,
    read_caption,
)
from hpc_xfer.config.training_data.mixture import shares_text, split, whole_shares
from hpc_xfer.config.training_data.selection import SampleSelection
from hpc_xfer.config.training_data.snapshot_counts import why_not_kept

# fp32 never means TF32, on no card (an A100 does 19.5 TFLOP/s in fp32, 156 in TF32, 312 in bf16).
# tf32 rounds the factors of products and convolutions to 10 bits; without tensor cores it is fp32.
# bf16 and fp16 are autocast, with heads and losses in fp32.
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Tower = Literal["image", "text"]
PARENT = "@parent"  # `init` of a run that starts from its parent in the plan, which its id names

# Statistics over the global batch, so that the number of GPUs changes no result; or, to replicate
# work without synchronized batch norm, each GPU's over its own part, and those of rank 0 are kept.
BatchNorms = Literal["global", "per-gpu"]


class Architecture(StrictModel):
    """The content of an open_clip model JSON file. `name` labels tables and is not hashed."""

    name: str = Field(default="custom", exclude=True)
    embed_dim: Width
    vision_cfg: VisionConfig
    text_cfg: TextConfig = {}


Arch = ArchName | Architecture


def arch_name(arch: Arch) -> str:
    return arch.name if isinstance(arch, Architecture) else arch


class Crop(StrictModel):
    """Ranges of RandomResizedCrop: share of the area, and aspect ratio."""

    scale: tuple[Fraction, Fraction] = (0.9, 1.0)
    ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3)

    @model_validator(mode="after")
    def _ordered(self) -> "Crop":
        if not (0 < self.scale[0] <= self.scale[1]) or self.ratio[0] > self.ratio[1]:
            raise ValueError("scale and ratio must each be [smallest, largest], and scale above 0")
        return self


class Pretrain(StrictModel):
    """The base of all methods. Class variables and properties say what a method needs."""

    uses_text: ClassVar[bool] = False  # has a text tower; captions become tokens
    learns_labels: ClassVar[bool] = False  # has an output per class

    method: str
    arch: Arch


class Trained(Pretrain):
    """The base of the methods that train on a source."""

    views: ClassVar[int] = 1  # augmented views of each image

    source: Name | dict[Name, PositiveInt]  # the site says where it lies; or shares of several
    samples: PositiveInt  # size of the subset of the source; the smaller is inside the larger
    samples_seen: PositiveInt  # over all epochs and ranks
    subset_seed: NonNegativeInt = 0  # which nested family of subsets
    batch: PositiveInt = 1024  # global: a rank gets batch / world size
    accumulate: PositiveInt | None = None  # parts, one after another; batch norm sees one part
    batchnorm: BatchNorms | None = None  # None: global
    ranks: PositiveInt | None = None  # if per-gpu; a study takes it from resources.pretrain.gpus
    lr: PositiveFloat = 1e-3  # peak, after warm-up; cosine to 0
    weight_decay: NonNegativeFloat = 0.1  # not on biases and norms (dims < 2)
    warmup_steps: NonNegativeInt = 5000  # at most 10% of the steps are used
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    grad_clip: PositiveFloat | None = 1.0  # global norm
    crop: Crop = Crop()
    flip: bool = False
    precision: Precision = "fp32"
    max_broken: Fraction = 0.001  # of the samples seen so far (1,000 at once); more stops the run
    seed: NonNegativeInt = 0
    select: SampleSelection | None = None  # which samples of each source are used; None: all
    init: Annotated[Name, Field(min_length=1)] | None = None  # as `released` names them; or PARENT
    patch_dropout: Annotated[Fraction, Field(lt=1)] | None = None  # share; FLIP, Li et al. 2023
    snapshots: tuple[PositiveInt, ...] | None = None  # kept after so many samples, each a parent

    @property
    def targets(self) -> tuple[Target, ...]:
        """The caption or label that the method needs beside the image; kinds of mixed captions."""
        return ()

    def targets_of(self, source: str) -> tuple[Target, ...]:
        """Return what the method needs beside the images of a source."""
        return self.targets

    @property
    def shares(self) -> dict[str, int]:
        """The share of each source, in the order of their names."""
        return {self.source: 1} if isinstance(self.source, str) else self.source

    @property
    def samples_by_source(self) -> dict[str, int]:
        return dict(zip(self.shares, split(self.samples, self.shares), strict=True))

    @property
    def source_name(self) -> str:
        """Name the source or the mixture for tables: `laion`, `laion+yfcc`."""
        return shares_text(self.shares)

    @property
    def color_jitter(self) -> tuple[float, float, float] | None:
        """Strength of the jitter, probabilities of gray and of blur; None for no jitter."""
        return None

    def missing_from(
        self, source: str, fields: Sequence[str], classes: Sequence[str] | None
    ) -> str | None:
        """Name what a source with these fields and classes lacks; None if it lacks nothing."""
        found = (target.missing_from(fields, classes) for target in self.targets_of(source))
        return next((each for each in found if each is not None), None)

    @property
    def batchnorm_images(self) -> int:
        """Images that batch norm sees at once in training."""
        return self.batch // ((self.ranks or 1) * (self.accumulate or 1))

    def steps_of(self, samples: int) -> int:
        """Whole steps in so many samples, at least one."""
        return max(1, samples // self.batch)

    @field_validator("source", mode="before")
    @classmethod
    def _whole_shares(cls, source: Any) -> Any:
        if not isinstance(source, dict):
            return source
        shares = whole_shares(source)
        return shares if len(shares) > 1 else next(iter(shares))

    @field_validator("snapshots")
    @classmethod
    def _at_steps(
        cls, counts: tuple[int, ...] | None, info: ValidationInfo
    ) -> tuple[int, ...] | None:
        """Sort them, so that their order in the file does not make another run."""
        known = info.data
        if counts is None or not {"batch", "samples_seen"} <= known.keys():
            return counts
        if wrong := why_not_kept(sorted(counts), known["batch"], known["samples_seen"]):
            raise ValueError(wrong)
        return tuple(sorted(counts))

    @field_validator("accumulate", "batchnorm", "patch_dropout")
    @classmethod
    def _no_effect_is_none(cls, value: Any) -> Any:
        """Read one part, global statistics and a share of 0 as None: they are the same run."""
        return None if value in (1, "global", 0) else value

    @model_validator(mode="after")
    def _ranks_decide_per_gpu_alone(self) -> "Trained":
        if (self.batchnorm == "per-gpu") != (self.ranks is not None):
            raise ValueError("batchnorm: per-gpu and ranks belong together; give both or neither")
        return self

    @model_validator(mode="after")
    def _even_parts(self) -> "Trained":
        if self.accumulate is not None and self.batch % self.accumulate:
            raise ValueError(
                f"batch {self.batch} cannot be split into {self.accumulate} equal parts; "
                "change accumulate"
            )
        return self

    @model_validator(mode="after")
    def _enough_samples(self) -> "Trained":
        if self.batch > self.samples:
            raise ValueError(
                f"batch {self.batch} is larger than samples {self.samples}, which gives zero steps "
                "per epoch; lower batch"
            )
        if none := [name for name, samples in self.samples_by_source.items() if not samples]:
            raise ValueError(
                f"the share of {none[0]!r} gives none of {self.samples:,} samples; raise samples "
                "or the share"
            )
        if self.select is not None and (wrong := self.select.unfit(self.samples, self.shares)):
            raise ValueError(wrong)
        return self


class ImageText(Trained):
    """The base of the methods that train an image tower and a text tower on captions."""

    uses_text = True

    max_logit_scale: PositiveFloat | None = None  # None: no limit
    lock: Tower | None = None  # keeps its weights of `init`; image: LiT, Zhai et al. 2022
    caption: Annotated[Caption | None, BeforeValidator(read_caption)] = None  # None: the field txt
    label: Name | None = None  # for templates: a key of the field json; None: the field cls

    @property
    def targets(self) -> tuple[Target, ...]:
        every = (target for source in self.shares for target in self.targets_of(source))
        return tuple(dict.fromkeys(every))

    def targets_of(self, source: str) -> tuple[Target, ...]:
        place = None if self.caption is None else self.caption.of(source)
        return caption_targets(place, self.label)

    @field_validator("caption")
    @classmethod
    def _of_these_sources(cls, caption: Caption | None, info: ValidationInfo) -> Caption | None:
        source = info.data.get("source")
        if caption is None or source is None:
            return caption
        return caption.among([source] if isinstance(source, str) else source)

    @model_validator(mode="after")
    def _locked_weights_are_trained(self) -> "ImageText":
        if self.lock is not None and self.init is None:
            raise ValueError(
                f"lock: {self.lock} would keep random weights; name the weights with init, or "
                "remove lock"
            )
        if self.lock == "image" and self.patch_dropout is not None:
            raise ValueError(
                "patch_dropout does nothing in a locked image tower; remove it or lock"
            )
        return self


class Clip(ImageText):
    """Image-text contrastive learning (Radford et al. 2021)."""

    method: Literal["clip"] = "clip"
    max_logit_scale: PositiveFloat = 100.0


class SigLIP(ImageText):
    """Image-text learning with a sigmoid per pair (Zhai et al. 2023).

    All else is as in Clip, so that the two differ in their loss alone. For large batches the paper
    lowers the second of `betas` to 0.95, against spikes of the loss.
    """

    method: Literal["siglip"] = "siglip"


class SimCLR(Trained):
    """Image-image contrastive learning (Chen et al. 2020), head and optimizer as in SLIP."""

    views = 2

    method: Literal["simclr"] = "simclr"
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)
    temperature: PositiveFloat = 0.1
    projection: tuple[PositiveInt, PositiveInt, PositiveInt] = (4096, 4096, 256)
    crop: Crop = Crop(scale=(0.08, 1.0))
    flip: bool = True
    jitter: NonNegativeFloat = 0.4  # strength of the color jitter, with probability 0.8
    gray: Fraction = 0.2  # probability
    blur: Fraction = 0.5  # probability

    @property
    def color_jitter(self) -> tuple[float, float, float]:
        return self.jitter, self.gray, self.blur


class Supervised(Trained):
    """Cross-entropy over the labels of the source."""

    learns_labels = True

    method: Literal["supervised"] = "supervised"
    label: Name | None = None  # a key of the field json; None: the field cls
    label_smoothing: Fraction = 0.0
    crop: Crop = Crop(scale=(0.08, 1.0))
    flip: bool = True

    @property
    def targets(self) -> tuple[Target, ...]:
        return (label_target(self.label),)


class Scratch(Pretrain):
    """Random initialization, saved as an encoder: the baseline of transfer."""

    method: Literal["scratch"] = "scratch"
    seed: NonNegativeInt = 0


class Released(Pretrain):
    """Weights that others trained: a file that the site names, or a fetched open_clip tag."""

    uses_text = True

    method: Literal["released"] = "released"
    weights: Name


METHODS: dict[str, type[Pretrain]] = {
    "clip": Clip,
    "siglip": SigLIP,
    "simclr": SimCLR,
    "supervised": Supervised,
    "scratch": Scratch,
    "released": Released,
}


def encoder_points(recipe: Pretrain) -> tuple[int | None, ...]:
    """List what fine-tunings start from: each snapshot by its samples seen, then the end (None)."""
    return (*((recipe.snapshots or ()) if isinstance(recipe, Trained) else ()), None)
