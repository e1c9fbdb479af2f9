"""Where the site keeps a data set, and in which form.

In the site file `datasets` maps names to a path, or to `imagefolder:PATH`, `webdataset:PATTERN` or
`torchvision:CLASS:ROOT`, or to a mapping with such a `path` and names, prompts or counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from hpc_xfer.config.dataset_cards import SplitCounts, Template
from hpc_xfer.config.schema import StrictModel

TORCHVISION = "torchvision:"


def _place(text: str) -> str:
    """Refuse what names no place on disk."""
    form, kind, path = _parts(text)
    if form == "torchvision" and not (kind and path):
        raise ValueError(f"{text!r} lacks a part; write torchvision:CLASS:ROOT")
    if not path:
        raise ValueError(f"{text!r} names no path; write one after the colon")
    if "://" in path:
        raise ValueError(f"{text!r} is not on a disk; download it and write its path")
    return text


def _class_name(name: Any) -> str:
    """Refuse a number, which YAML makes of 007 too, and a name of blanks."""
    if not isinstance(name, str):
        raise ValueError(f"a class name is text; put {name} in quotes")
    if not name.strip():
        raise ValueError("is an empty class name; write a name")
    return name.strip()


ClassName = Annotated[str, BeforeValidator(_class_name)]
Place = Annotated[str, AfterValidator(_place)]  # a path with or without a form
Form = Literal["folder", "imagefolder", "webdataset", "torchvision"]


class DatasetEntry(StrictModel):
    """The long form of an entry of `datasets` in the site file."""

    path: Place  # as in the short form
    # for prompts: in the order of labels, or by folder
    class_names: tuple[ClassName, ...] | dict[str, ClassName] = ()
    templates: tuple[Template, ...] = ()  # prompts; {} is the class
    counts: SplitCounts | None = None  # of a subset of a packaged data set that is used on purpose


@dataclass(frozen=True)
class Location:
    """A place on disk, and how to read it."""

    form: Form  # folder: a packaged data set in its owners' form, or an image folder
    path: Path
    kind: str = ""  # class of torchvision
    class_names: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    counts: SplitCounts | None = None
    names_by_folder: tuple[tuple[str, str], ...] = ()  # folder, name; or class_names


def location_of(name: str, entry: str | DatasetEntry) -> Location:
    """Return the location that an entry of the site file states for a data set."""
    given = entry if isinstance(entry, DatasetEntry) else DatasetEntry(path=entry)
    form, kind, path = _parts(given.path)
    if form == "folder" and name.startswith(TORCHVISION):
        form, kind = "torchvision", name.removeprefix(TORCHVISION)
    stated = given.class_names
    return Location(
        form,
        Path(path),
        kind,
        class_names=() if isinstance(stated, dict) else stated,
        names_by_folder=tuple(stated.items()) if isinstance(stated, dict) else (),
        templates=given.templates,
        counts=given.counts,
    )


def with_path(entry: str | DatasetEntry, change: Callable[[str], str]) -> str | DatasetEntry:
    """Return the entry with the path in it changed: relative paths are made absolute so."""
    if isinstance(entry, DatasetEntry):
        return entry.model_copy(update={"path": str(with_path(entry.path, change))})
    form, kind, path = _parts(entry)
    prefix = {"folder": "", "torchvision": f"{TORCHVISION}{kind}:"}.get(form, f"{form}:")
    return prefix + change(path)


def _parts(text: str) -> tuple[Form, str, str]:
    """Split `torchvision:CLASS:ROOT` into its form, class and path; the others have no class."""
    if text.startswith(TORCHVISION):
        kind, _, path = text.removeprefix(TORCHVISION).partition(":")
        return "torchvision", kind, path
    if text.startswith("imagefolder:"):
        return "imagefolder", "", text.removeprefix("imagefolder:")
    if text.startswith("webdataset:"):
        return "webdataset", "", text.removeprefix("webdataset:")
    return "folder", "", text
