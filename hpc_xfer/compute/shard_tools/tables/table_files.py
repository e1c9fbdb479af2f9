"""Find the tables that SOURCE of `shards make` names: a file, or all Parquet files of a split."""

import glob
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import braceexpand

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
        return list(map(Path, glob.glob(pattern)))
    if not Path(pattern).is_file():
        raise DataError(f"{pattern}: is listed but absent; correct the pattern")
    return [Path(pattern)]


def _one_split(source: str, files: Sequence[Path]) -> list[Path]:
    """Refuse files of several splits, and a split of which a part is absent."""
    parts = [match for path in files if (match := _PART.fullmatch(path.name))]
    if splits := sorted({match["split"] for match in parts}):
        if len(splits) > 1 or len(parts) < len(files):
            first = files[0].parent / f"{'train' if 'train' in splits else splits[0]}-*.parquet"
            raise StudyError(
                f"{source}: holds Parquet files of {', '.join(splits)}; name one split, such as "
                f"'{first}'"
            )
        there = {int(match["part"]) for match in parts}
        absent = sorted(set(range(int(parts[0]["parts"]))) - there)
        if absent and Path(source).is_dir():
            raise DataError(
                f"{source}: part {absent[0]:,} of {parts[0]['parts']} of {splits[0]} is absent "
                f"({len(absent):,} in all); download it, or name a pattern if a part is meant"
            )
    return list(files)
