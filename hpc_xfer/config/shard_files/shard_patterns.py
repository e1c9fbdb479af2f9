"""Patterns of shards: brace lists, as WebDataset has them, and the stars of a shell.

    split("/data/laion/{00000..00099}.tar")       # (Path("/data/laion"), "{00000..00099}.tar")
    names(folder, "{a,b}/*.tar")                  # of the files below the folder

A shard that a brace list names has to be there; stars name those that are.
"""

import os
import posixpath
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import braceexpand

from hpc_xfer.errors import DataError

_SPECIAL = re.compile(r"[{}*?\[\]]")
_REMOTE = re.compile(r"[a-z0-9]+:/{1,2}|pipe:", re.IGNORECASE)
_MOST = 1_000_000  # names of a brace list; more is a slip of the hand


def looks_like_one(text: str) -> bool:
    """Tell a pattern, or the name of one shard, from the name of a folder."""
    return bool(_SPECIAL.search(text)) or text.lower().endswith(".tar") or "::" in text


def folder_and_pattern(place: Path) -> tuple[Path, str | None]:
    """Split a place into its folder, there or not, and the pattern; None where it is a folder.

    Raises:
        DataError: as `split`.
    """
    if place.is_dir() or not looks_like_one(str(place)):
        return place, None
    return split(str(place))


def split(text: str) -> tuple[Path, str]:
    """Split a pattern into the folder before its first brace or star, and the rest.

    Raises:
        DataError: it is not a pattern of files below one folder.
    """
    if _REMOTE.match(text):
        raise DataError(f"{text}: is not on a file system; copy the shards and name their place")
    if "::" in text:
        raise DataError(f"{text}: joins patterns by `::`; write one pattern: DIR/{{a,b}}/*.tar")
    parts = Path(text).parts
    folder = Path()
    for number, part in enumerate(parts[:-1]):
        if _SPECIAL.search(part) and not (folder / part).is_dir():
            return folder, posixpath.join(*parts[number:])
        folder = folder / part
    return folder, parts[-1]


def names(folder: Path, pattern: str) -> set[str]:
    """List the files below the folder that a pattern names, those of brace lists there or not.

    Raises:
        DataError: the pattern is wrong.
    """
    found = set[str]()
    for each in _expanded(folder, pattern):
        if any(mark in each for mark in "*?["):
            hidden = {part for part in each.split("/") if part.startswith(".")}
            found.update(name for name in _glob(folder, each) if _is_shown(name, hidden))
        else:
            found.add(each)
    return found


def absent(folder: Path, pattern: str) -> list[str]:
    """List the shards that a brace list names and that are not there, sorted."""
    listed = (each for each in _expanded(folder, pattern) if not any(m in each for m in "*?["))
    return sorted(name for name in listed if not os.path.isfile(folder / name))


def _expanded(folder: Path, pattern: str) -> list[str]:
    """Expand brace lists; stars stay."""
    where = f"{folder}/{pattern}"
    try:
        found = list(islice(braceexpand.braceexpand(pattern), _MOST + 1))
    except ValueError as error:
        raise DataError(f"{where}: {error}; write braces as {{000..099}} or {{a,b}}") from error
    if len(found) > _MOST:
        raise DataError(f"{where}: names more than {_MOST:,} shards; shorten its brace lists")
    found = [posixpath.normpath(each) for each in found]
    for name in found:
        if name.startswith(("/", "../")):
            raise DataError(f"{where}: leaves the folder; write the common folder before the {{")
        if not name.lower().endswith(".tar"):
            raise DataError(f"{where}: names {name!r}, which does not end in .tar; end it so")
    (often, times), *_ = Counter(found).most_common(1)
    if times > 1:
        raise DataError(f"{where}: names {often} {times} times; name each shard once")
    return found


def _glob(folder: Path, pattern: str) -> set[str]:
    try:
        return {path.relative_to(folder).as_posix() for path in folder.glob(pattern)}
    except ValueError as error:
        raise DataError(f"{folder}/{pattern}: {error}; write it as a shell has it") from error


def _is_shown(name: str, hidden: set[str]) -> bool:
    """Leave hidden files and folders out that the pattern does not name itself."""
    return all(not part.startswith(".") or part in hidden for part in name.split("/"))
