"""Fingerprints of data sets made of files: SHA-256 of all names, sizes and contents."""

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpc_xfer.compute.downstream.image_sets import ImageSet, os_errors_as_data_error
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.own_datasets.copied_images import find_copies
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
    return of_images(folder, groups, {}, fingerprints, splits)[0]


def of_images(
    folder: Path,
    groups: Sequence[Sequence[Path]],
    sets: Mapping[str, ImageSet],
    fingerprints: FingerprintCache | None,
    splits: str = "",
) -> tuple[str, dict[str, int]]:
    """Return the fingerprint as `of_files`, and the numbers of images that are there twice.

    Args:
        sets: train and other splits, whose files are all of `groups` in order.
    """
    if fingerprints is None:
        return _read(folder, groups, sets, splits, lambda: None)
    path = fingerprints.path_of(_digest(folder, groups, splits, _state, fingerprints.touch))
    known = atomic_files.read_json(path)
    if isinstance(known, dict) and known.get("schema") == _SCHEMA:
        return str(known["fingerprint"]), dict(known.get("copies", {}))
    fingerprint, copies = _read(folder, groups, sets, splits, fingerprints.touch)
    with contextlib.suppress(StoreError):  # another user of the store may own the folder
        note = {"schema": _SCHEMA, "folder": str(folder), "fingerprint": fingerprint}
        atomic_files.write_json(path, note | ({"copies": copies} if copies else {}))
    return fingerprint, copies


def of_words(info: DatasetInfo) -> str:
    """SHA-256 of class names and prompts, on which results through text depend."""
    return hashlib.sha256(json.dumps([info.classes, info.templates]).encode()).hexdigest()


def copies_of(digests: Sequence[bytes], sets: Mapping[str, ImageSet]) -> dict[str, int]:
    """Count images that are there twice.

    Args:
        digests: of all images, split after split.
    """
    each = iter(digests)
    return find_copies(
        {
            name: (list(itertools.islice(each, len(images))), images.labels.tolist())
            for name, images in sets.items()
        }
    ).counts


def digest_of_labels(splits: Iterable[tuple[str, ImageSet]]) -> str:
    """SHA-256 of the labels of each split in order: the same files may be split in another way."""
    digest = hashlib.sha256()
    for name, images in splits:
        digest.update(f"{name}\t{len(images)}\n".encode())
        digest.update(images.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _read(
    folder: Path,
    groups: Sequence[Sequence[Path]],
    sets: Mapping[str, ImageSet],
    splits: str,
    touch: Callable[[], object],
) -> tuple[str, dict[str, int]]:
    """Read all files; those of `sets` are compared too."""
    digests: list[bytes] = []
    keep = digests.append if sets else None
    fingerprint = _digest(folder, groups, splits, _content, touch, keep)
    return fingerprint, copies_of(digests, sets) if sets else {}


def _digest(
    folder: Path,
    groups: Sequence[Sequence[Path]],
    splits: str,
    describe: Callable[[Path, Path], str],
    touch: Callable[[], object],
    keep: Callable[[bytes], object] | None = None,
) -> str:
    """SHA-256 of the descriptions of all files in order, read by threads group by group.

    Args:
        keep: gets the SHA-256 of each file, which stands at the end of what `_content` gives.
    """
    digest = hashlib.sha256(splits.encode())
    with ThreadPoolExecutor(_READERS) as readers:
        for line in itertools.chain.from_iterable(
            readers.map(partial(describe, folder), paths) for paths in groups
        ):
            touch()
            digest.update(line.encode("utf-8", "surrogateescape"))
            if keep is not None:
                keep(bytes.fromhex(line[-65:-1]))
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
