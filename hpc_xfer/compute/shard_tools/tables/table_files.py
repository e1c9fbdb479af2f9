"""Find the tables that SOURCE of `shards make` names: a file, or all Parquet files of a split."""

import glob
import os
import re
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path

import braceexpand

from hpc_xfer.config.dataset_forms.listing import is_image
from hpc_xfer.config.dataset_forms.split_names import split_in
from hpc_xfer.config.shard_files import shard_patterns
from hpc_xfer.errors import DataError, StudyError

_MOST = 100_000  # files of a brace list
_SUFFIXES = (".csv", ".tsv", ".parquet")
_PART = re.compile(r"(?P<split>.+)-(?P<part>[0-9]+)-of-(?P<parts>[0-9]+)(-[0-9a-f]+)?\.parquet")


def find(source: str) -> list[Path]:
    """Return the tables of SOURCE, sorted; none where it is a folder of images.

    Raises:
        StudyError: its files belong to several splits, or are of different kinds.
        DataError: no file is there, or a file of a kind that is not read, or a part is absent.
    """
    path = Path(source)
    if path.is_dir():
        if next(path.glob("*.tar"), None):
            raise DataError(
                f"{path}: holds tar shards already; run `python -m hpc_xfer.shards index {path}`"
            )
        files = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
        return _one_split(source, files)
    is_pattern = not path.exists() and shard_patterns.looks_like_one(source)
    if path.suffix.lower() in _SUFFIXES and not is_pattern:
        return [path]
    if is_pattern:
        return _of_pattern(source)
    if path.is_file():
        raise DataError(
            f"{path}: is not a table that is read ({' '.join(_SUFFIXES)}); unpack or convert it"
        )
    return []


def left_unread(source: str, tables: Collection[Path]) -> tuple[str, ...]:
    """Say what else lies in a folder of Parquet files; nothing of a pattern or a file."""
    others: dict[str, list[Path]] = {"tables": [], "images": []}
    for where, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(where, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in _SUFFIXES and path not in tables:
                others["tables"].append(path)
            elif is_image(path):
                others["images"].append(path)
    return tuple(
        f"{len(found):,} {what if len(found) > 1 else what[:-1]} in {source} beside the Parquet "
        f"files {'are' if len(found) > 1 else 'is'} not read, the first "
        f"{min(found).relative_to(source)}"
        for what, found in others.items()
        if found
    )


def first_inside(folder: Path) -> Path | None:
    """Return a table that the user may have meant, where `find` finds none in a folder."""
    patterns = ("*.csv", "*.tsv", "*/*.parquet", "*/*/*.parquet")
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern))), None)


def _of_pattern(pattern: str) -> list[Path]:
    files = sorted({path for each in _expanded(pattern) for path in _named(each)})
    if not files:
        raise DataError(f"{pattern}: names no file; correct the pattern")
    if odd := [path for path in files if path.suffix.lower() != ".parquet"]:
        raise StudyError(
            f"{odd[0]}: a pattern names Parquet files only; name one .csv or .tsv at a time"
        )
    return _one_split(pattern, files)


def _expanded(pattern: str) -> list[str]:
    """Expand brace lists; stars stay."""
    try:
        return list(islice(braceexpand.braceexpand(pattern), _MOST))
    except ValueError as error:
        raise DataError(
            f"{pattern}: {error}; write braces as {{000..099}} or {{train,val}}"
        ) from error


def _named(pattern: str) -> list[Path]:
    if glob.has_magic(pattern):
        return list(map(Path, glob.glob(pattern, recursive=True)))
    if not Path(pattern).is_file():
        raise DataError(f"{pattern}: is listed but absent; correct the pattern")
    return [Path(pattern)]


def _one_split(source: str, files: Sequence[Path]) -> list[Path]:
    """Refuse files of several splits, and a split of which a part is absent."""
    parts = [match for path in files if (match := _PART.fullmatch(path.name))]
    if splits := sorted({match["split"] for match in parts}):
        if len(splits) > 1 or len(parts) < len(files):
            first = files[0].parent / f"{'train' if 'train' in splits else splits[0]}-*.parquet"
            raise _several(source, splits, first)
        there = {int(match["part"]) for match in parts}
        absent = sorted(set(range(int(parts[0]["parts"]))) - there)
        if absent and Path(source).is_dir():
            raise DataError(
                f"{source}: part {absent[0]:,} of {parts[0]['parts']} of {splits[0]} is absent "
                f"({len(absent):,} in all); download it, or name a pattern if a part is meant"
            )
    else:
        named = {word: path for path in reversed(files) if (word := _split_of(path))}
        if len(named) > 1:
            first = next((named[word] for word in named if "train" in word), files[0])
            raise _several(source, sorted(named), first)
    return list(files)


def _split_of(path: Path) -> str | None:
    """The split that a file's name tells, or that of its folder."""
    return split_in(path.stem) or split_in(path.parent.name)


def _several(source: str, splits: Sequence[str], first: Path) -> StudyError:
    return StudyError(
        f"{source}: holds Parquet files of {', '.join(splits)}; name one split, such as '{first}'"
    )
