"""Folders of tar shards in the form of CLIP_benchmark.

FOLDER/classnames.txt, zeroshot_classification_templates.txt, {train,test}/nshards.txt and 0.tar ...
A sample is an image and its class number (`.cls`).
"""

from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.config.dataset_forms.listing import read_lines
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
        classes = tuple(read_lines(names))
        lists.append(names)
    templates: tuple[str, ...] = ()
    if prompts.is_file():
        templates = tuple(line.replace("{c}", "{}") for line in read_lines(prompts))
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


def _shards(folder: Path) -> tuple[Path, ...]:
    told = folder / "nshards.txt"
    number = read_lines(told)[0]
    if not number.isdecimal() or int(number) == 0:
        raise DataError(f"{told}: must be the number of shards, got {number!r}; correct it")
    paths = tuple(folder / f"{i}.tar" for i in range(int(number)))
    for path in paths:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}), but {told} says {number} shards; "
                "copy it again"
            ) from error
        if size == 0 or size % _BLOCK:
            raise DataError(f"{path}: is cut off after {size:,} bytes; copy it again")
    return paths
