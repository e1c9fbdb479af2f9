"""Folders of tar shards in the form of CLIP_benchmark.

FOLDER/classnames.txt, zeroshot_classification_templates.txt, {train,test}/nshards.txt and 0.tar ...
A sample is an image and its class number (`.cls`).
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.config.dataset_forms.listing import read_lines, read_list
from hpc_xfer.errors import DataError

_BLOCK = 512  # bytes; a tar is made of such blocks


@dataclass(frozen=True)
class TarFolder:
    """Classes, prompts and shards, as the text files of a folder state them."""

    classes: tuple[str, ...]
    templates: tuple[str, ...]
    shards: dict[str, tuple[Path, ...]]  # by split
    lists: tuple[Path, ...]


def list_tars(pattern: Path, classes: tuple[str, ...]) -> TarFolder:
    """List the shards of a folder, or of a path with {split} in it, and check that they are whole.

    Args:
        classes: names that the site file gives, used instead of classnames.txt.

    Raises:
        DataError: a file is missing or cut off, or says something else than expected.
    """
    folder, splits = _split_folders(pattern)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; correct `webdataset:` in the site file")
    names, prompts = folder / "classnames.txt", folder / "zeroshot_classification_templates.txt"
    lists = []
    if not classes:
        if not names.is_file():
            raise DataError(
                f"{names}: no such file; write one class name a line into it, in the order of "
                "labels, or state class_names in the site file"
            )
        classes = _class_names(names)
        lists.append(names)
    templates: tuple[str, ...] = ()
    if prompts.is_file():
        templates = _templates(prompts)
        lists.append(prompts)
    shards = {split: _shards(path) for split, path in splits.items()}
    return TarFolder(classes, templates, shards, tuple(lists))


def _split_folders(pattern: Path) -> tuple[Path, dict[str, Path]]:
    """Return the folder of the text files, and the folder of each split."""
    if "{split}" not in str(pattern):
        return pattern, {split: pattern / split for split in ("train", "test")}
    above = next(path for path in (pattern, *pattern.parents) if "{split}" not in str(path))
    splits = {split: Path(str(pattern).replace("{split}", split)) for split in ("train", "test")}
    return above, splits


def _class_names(path: Path) -> tuple[str, ...]:
    """Read one name a line. An empty line within would shift the numbers of all that follow."""
    read_lines(path)  # refuses a file that is empty or no text
    lines = [line.strip() for line in read_list(path).decode("utf-8-sig").rstrip().splitlines()]
    if "" in lines:
        raise DataError(
            f"{path}:{lines.index('') + 1}: is empty, and classes are numbered by their lines; "
            "write a name there, or remove the line if it stands for no class"
        )
    return tuple(lines)


def _templates(path: Path) -> tuple[str, ...]:
    templates = tuple(line.replace("{c}", "{}") for line in read_lines(path))
    for line in templates:
        if "{}" not in line:
            raise DataError(
                f"{path}: has the prompt {line!r} without {{c}}, the place of the class name; "
                "correct it"
            )
    return templates


def _shards(folder: Path) -> tuple[Path, ...]:
    told = folder / "nshards.txt"
    here = _tars(folder)
    if not told.is_file():
        raise DataError(
            f"{told}: no such file; write the number of shards into it ({len(here):,} tars are "
            "here now)"
        )
    number, *more = read_lines(told)
    if more or not number.isdecimal() or int(number) == 0:
        raise DataError(f"{told}: must be the number of shards, got {number!r}; correct it")
    paths = tuple(_whole(folder / f"{i}.tar", told, number) for i in range(int(number)))
    if others := sorted(here - {path.name for path in paths}):
        raise DataError(
            f"{folder / others[0]}: is one of {len(others):,} tars that {told} does not count (it "
            f"says {number}, for 0.tar and so on); correct the number or move them away"
        )
    return paths


def _tars(folder: Path) -> set[str]:
    """Names of the tars of a split. macOS leaves `._0.tar` beside 0.tar."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be listed ({error.strerror}), and a data set of shards has train/ "
            "and test/; copy it, or correct `webdataset:` in the site file"
        ) from error
    return {name for name in names if name.endswith(".tar") and not name.startswith(".")}


def _whole(path: Path, told: Path, number: str) -> Path:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}), but {told} says {number} shards; "
            "copy it again"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: is not a file; copy it again")
    if status.st_size == 0 or status.st_size % _BLOCK:
        raise DataError(f"{path}: is cut off after {status.st_size:,} bytes; copy it again")
    return path
