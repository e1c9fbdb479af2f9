"""Fingerprints of data sets made of files: SHA-256 of all names, sizes and contents."""

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpc_xfer.compute.downstream.image_sets import ImageSet, os_errors_as_data_error
from hpc_xfer.errors import StoreError
from hpc_xfer.system import atomic_files

_SCHEMA = 1  # of a fingerprint file
_READERS = 8  # threads; a network file system takes 1-2 ms per file


@dataclass(frozen=True)
class FingerprintCache:
    """Keeps the fingerprints of folders on disk: to read a million files takes an hour."""

    touch: Callable[[], object]  # sign of life, called for each file
    path_of: Callable[[str], Path]  # key of a folder -> file of its fingerprint


def of_files(
    folder: Path,
    groups: Sequence[Sequence[Path]],
    fingerprints: FingerprintCache | None,
    splits: str = "",
) -> str:
    """SHA-256 of names, sizes and contents; kept by the state of the files, if there is a cache.

    Args:
        groups: the files, in order; names are relative to `folder`.
        splits: what else decides the data set, see `digest_of_labels`.
    """
    if fingerprints is None:
        return _digest(folder, groups, splits, _content, lambda: None)
    path = fingerprints.path_of(_digest(folder, groups, splits, _state, fingerprints.touch))
    known = atomic_files.read_json(path)
    if isinstance(known, dict) and known.get("schema") == _SCHEMA:
        return str(known["fingerprint"])
    fingerprint = _digest(folder, groups, splits, _content, fingerprints.touch)
    with contextlib.suppress(StoreError):  # another user of the store may own the folder
        note = {"schema": _SCHEMA, "folder": str(folder), "fingerprint": fingerprint}
        atomic_files.write_json(path, note)
    return fingerprint


def digest_of_labels(splits: Iterable[tuple[str, ImageSet]]) -> str:
    """SHA-256 of the labels of each split in order: the same files may be split in another way."""
    digest = hashlib.sha256()
    for name, images in splits:
        digest.update(f"{name}\t{len(images)}\n".encode())
        digest.update(images.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _digest(
    folder: Path,
    groups: Sequence[Sequence[Path]],
    splits: str,
    describe: Callable[[Path, Path], str],
    touch: Callable[[], object],
) -> str:
    """SHA-256 of the descriptions of all files in order, read by threads group by group."""
    digest = hashlib.sha256(splits.encode())
    with ThreadPoolExecutor(_READERS) as readers:
        for line in itertools.chain.from_iterable(
            readers.map(partial(describe, folder), paths) for paths in groups
        ):
            touch()
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _content(folder: Path, path: Path) -> str:
    """Name, size and SHA-256 of a file."""
    with os_errors_as_data_error(path):
        name = path.relative_to(folder).as_posix()
        return f"{name}\t{path.stat().st_size}\t{atomic_files.sha256(path)}\n"


def _state(folder: Path, path: Path) -> str:
    """Path, size and times of a file. The change time shows a copy that kept the old mtime."""
    with os_errors_as_data_error(path):
        stat = path.stat()
    return f"{path}\t{stat.st_size}\t{stat.st_mtime_ns}\t{stat.st_ctime_ns}\n"
