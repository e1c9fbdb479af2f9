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

from hpc_xfer.compute.downstream.image_sets import (
    ImageSet,
    TarImages,
    os_errors_as_data_error,
)
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
    return _of(_Files(folder, groups, splits), fingerprints, None)[0]


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
    files = _Files(folder, groups, splits)
    return _of(files, fingerprints, lambda digests: copies_of(digests, sets))


def of_shards(
    folder: Path,
    groups: Sequence[Sequence[Path]],
    sets: Mapping[str, TarImages],
    fingerprints: FingerprintCache | None,
    splits: str = "",
) -> tuple[str, dict[str, int]]:
    """Return the same as `of_images` for images in shards, which are read once more for it."""
    touch = _nothing if fingerprints is None else fingerprints.touch

    def copies(_: Sequence[bytes]) -> dict[str, int]:
        digests = []
        for images in sets.values():
            for i in range(len(images)):
                touch()
                digests.append(hashlib.sha256(images.encoded(i)).digest())
        return copies_of(digests, sets)

    return _of(_Files(folder, groups, splits), fingerprints, copies)


def of_words(info: DatasetInfo) -> str:
    """SHA-256 of class names and prompts, on which results through text depend.

    Names that look like codes count as others once a user has stated them.
    """
    words = [info.classes, info.templates, info.meaningful_names]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


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


@dataclass(frozen=True)
class _Files:
    """All files of a data set, in order; see `of_files`."""

    folder: Path
    groups: Sequence[Sequence[Path]]
    splits: str

    def digest(
        self,
        describe: Callable[[Path, Path], str],
        touch: Callable[[], object],
        keep: Callable[[bytes], object] | None = None,
    ) -> str:
        """SHA-256 of the descriptions of all files, read by threads group by group.

        Args:
            keep: gets the SHA-256 of each file, which stands at the end of what `_content` gives.
        """
        digest = hashlib.sha256(self.splits.encode())
        with ThreadPoolExecutor(_READERS) as readers:
            for line in itertools.chain.from_iterable(
                readers.map(partial(describe, self.folder), paths) for paths in self.groups
            ):
                touch()
                digest.update(line.encode("utf-8", "surrogateescape"))
                if keep is not None:
                    keep(bytes.fromhex(line[-65:-1]))
        return digest.hexdigest()


def _of(
    files: _Files,
    fingerprints: FingerprintCache | None,
    copies: Callable[[Sequence[bytes]], dict[str, int]] | None,
) -> tuple[str, dict[str, int]]:
    """Read all files, unless the cache has a note of their state that says all that is asked for.

    Args:
        copies: takes the digests of all files.
    """
    if fingerprints is None:
        return _read(files, _nothing, copies)
    path = fingerprints.path_of(files.digest(_state, fingerprints.touch))
    known = atomic_files.read_json(path)
    is_known = isinstance(known, dict) and known.get("schema") == _SCHEMA
    if is_known and (copies is None or "copies" in known):
        return str(known["fingerprint"]), dict(known.get("copies", {}))
    fingerprint, found = _read(files, fingerprints.touch, copies)
    with contextlib.suppress(StoreError):  # another user of the store may own the folder
        note = {"schema": _SCHEMA, "folder": str(files.folder), "fingerprint": fingerprint}
        atomic_files.write_json(path, note | ({} if copies is None else {"copies": found}))
    return fingerprint, found


def _read(
    files: _Files,
    touch: Callable[[], object],
    copies: Callable[[Sequence[bytes]], dict[str, int]] | None,
) -> tuple[str, dict[str, int]]:
    digests: list[bytes] = []
    keep = digests.append if copies is not None else None
    fingerprint = files.digest(_content, touch, keep)
    return fingerprint, copies(digests) if copies is not None else {}


def _nothing() -> None:
    return None


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
