"""Cards of the packaged data sets: names, counts, prompts, archives; one YAML file per data set.

A card says what the owners hand out. Nothing of it is read from the disk of a data set: what lies
there is listed by config/dataset_forms and compared with the card.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, model_validator

from hpc_xfer.config.schema import NonNegativeInt, PositiveInt, StrictModel

CARDS = ("cifar100", "dtd", "caltech101", "pets", "real", "clipart", "eurosat", "cassava", "cct20")
_FOLDER = Path(__file__).parent / "dataset_cards"
# The same rules as SafeLoader, in C: nine cards take 0.01 s, not 0.1 s. Wheels of PyYAML have it.
_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def prompt(text: str) -> str:
    """Return the text of a prompt.

    Raises:
        ValueError: {} is not in it once, or another brace is.
    """
    before, found, after = text.partition("{}")
    if not found or any(brace in before + after for brace in "{}"):
        raise ValueError(f"{text!r} must have {{}} once, where the class goes")
    return text


Template = Annotated[str, AfterValidator(prompt)]


class Archive(StrictModel):
    """One file to download. A file that is not an archive is put where it would be unpacked."""

    url: str
    md5: str | None = None
    sha256: str | None = None
    bytes: PositiveInt | None = None
    unpack: str = "."  # folder below the root
    inside: tuple[str, ...] = ()  # archives in the archive, to be unpacked to the same folder


class SplitCounts(StrictModel):
    """Images of each split; None where there is no such split, or the number is not known."""

    train: PositiveInt | None = None
    val: PositiveInt | None = None  # an official validation set; the rest of the images is in train
    test: PositiveInt | None = None


class FurtherSet(StrictModel):
    """A further test set with the same classes: measured once, never chosen by."""

    title: str
    home: str
    count: PositiveInt | None = None  # images
    listed: PositiveInt | None = None  # images in the owners' list, if some of them are left out
    archives: tuple[Archive, ...] = ()


class DatasetCard(StrictModel):
    """Facts about one data set as its owners hand it out. Classes are in the order of labels."""

    name: str
    title: str
    home: str
    licence: str
    split: str  # whose, and by which rule
    counts: SplitCounts = SplitCounts()  # images that are used
    listed: SplitCounts = SplitCounts()  # images in the owners' lists, if some of them are left out
    class_counts: tuple[NonNegativeInt, ...] | None = None  # training images per class, if known
    classes: tuple[str, ...]  # words for prompts
    folders: tuple[str, ...]  # the owners' name of each class: a folder or an id
    templates: tuple[Template, ...]
    archives: tuple[Archive, ...]
    manual: str | None = None  # what must be done by hand
    further: dict[str, FurtherSet] = {}

    @model_validator(mode="after")
    def _one_entry_per_class(self) -> "DatasetCard":
        for names in (self.classes, self.folders):
            if len(set(names)) != len(self.classes):
                raise ValueError(f"{self.name}: a class is named twice or has no folder")
        counts = self.class_counts
        if counts is not None and (len(counts), sum(counts)) != (
            len(self.classes),
            self.counts.train,
        ):
            raise ValueError(f"{self.name}: class_counts do not sum up to the training images")
        return self


@lru_cache
def card(name: str) -> DatasetCard:
    """Read the card of a packaged data set, one of CARDS."""
    data = _Loader((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")).get_single_data()
    return DatasetCard.model_validate_json(json.dumps({"name": name, **data}))
