"""Entries of `released` in the site file: files of weights that others trained.

    released:
      openai: /data/weights/RN50.pt
      mine: {path: mine.pt, key: ema, activation: gelu, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}

A path names a file, an index of shards, or a folder as the Hugging Face hub makes it. The long form
states what the file does not tell.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hpc_xfer.config.schema import PositiveInt, StrictModel

Activation = Literal["gelu", "quick_gelu"]
Triple = tuple[float, float, float]
Normalization = tuple[Triple, Triple]  # mean, standard deviation


def _on_disk(text: str) -> str:
    if not text:
        raise ValueError("is empty; write the path of a file")
    if "://" in text or text.startswith("hf-hub:"):
        raise ValueError(f"{text!r} is not on a disk; download it and write its path")
    return text


def _of_pixels_up_to_one(values: Triple) -> Triple:
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("must be of pixels from 0 to 1; divide by 255")
    return values


WeightsPlace = Annotated[str, AfterValidator(_on_disk)]
OfPixels = Annotated[Triple, AfterValidator(_of_pixels_up_to_one)]


class ReleasedEntry(StrictModel):
    """The long form of an entry of `released`; what it states goes before what the file tells."""

    path: WeightsPlace  # as in the short form
    key: Annotated[str, Field(min_length=1)] | None = None  # of the weights in a file of several
    mean: OfPixels | None = None
    std: OfPixels | None = None
    size: PositiveInt | None = None  # side of images in pixels
    activation: Activation | None = None  # of the transformers

    @model_validator(mode="after")
    def _mean_and_std_belong_together(self) -> "ReleasedEntry":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together; give both or neither")
        if self.std is not None and not all(self.std):
            raise ValueError("std must be greater than 0")
        return self

    @property
    def normalization(self) -> Normalization | None:
        return None if self.mean is None or self.std is None else (self.mean, self.std)


def released_entry(entry: str | ReleasedEntry) -> ReleasedEntry:
    """Return the long form of an entry."""
    return entry if isinstance(entry, ReleasedEntry) else ReleasedEntry(path=entry)


def with_released_path(
    entry: str | ReleasedEntry, change: Callable[[str], str]
) -> str | ReleasedEntry:
    """Return the entry with its path changed: relative paths are made absolute so."""
    if isinstance(entry, str):
        return change(entry)
    return entry.model_copy(update={"path": change(entry.path)})
