"""Tar shards with random access, in the layout of WebDataset, and how they are written.

A sample is a group of neighbouring members that share a key: `a/000017.png`, `a/000017.txt` and
`a/000017.cls` are the fields png, txt and cls of sample `a/000017`.
"""

import os
import re
import tarfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

from hpc_xfer import files, shard_index
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.shard_index import IMAGE_FIELDS, ShardEntry, ShardIndex

CLASSES = "classes.json"  # a list of names beside foreign shards; ours have them in the index
Progress = Callable[[int, int], None]  # shards done, shards in all
Place = tuple[int, int]  # offset and size in bytes

# WebDataset's rules: the key ends at the first dot of the base name; `__meta__` is no sample.
_KEY = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")


@dataclass(frozen=True)
class Shard:
    """One opened tar. Costs a table in memory and one file handle, opened at the first read.

    Reads are positioned, so forked workers may share it; pickled, it opens its own handle.
    """

    path: Path
    keys: tuple[str, ...]
    members: tuple[Mapping[str, Place], ...]  # by field; places in the tar

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, i: int, fields: Sequence[str] | None = None) -> dict[str, bytes]:
        """The fields of sample `i`, or those of `fields` that it has.

        Raises:
            DataError: the file is no longer what it was when it was opened, or is gone.
        """
        places = self.members[i]
        wanted = places if fields is None else [field for field in fields if field in places]
        return {field: self._read(self.keys[i], *places[field]) for field in wanted}

    def label(self, i: int) -> int:
        """The class number in field cls of sample `i`.

        Raises:
            DataError: no cls, or not a number of 0 or more.
        """
        if "cls" not in self.members[i]:
            raise DataError(f"{self.path}: sample {self.keys[i]} has no cls; make the shard again")
        text = self.read(i, ["cls"])["cls"].decode(errors="replace").strip()
        if not (text.isascii() and text.isdigit()):
            raise DataError(
                f"{self.path}: sample {self.keys[i]} has cls {text!r}, which is no class number; "
                "write 0, 1, 2, ..."
            )
        return int(text)

    def _read(self, key: str, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._handle, size, offset)
        except OSError as error:
            raise DataError(
                f"{self.path}: sample {key} cannot be read ({error.strerror}); check the disk"
            ) from error
        if len(data) < size:
            raise DataError(
                f"{self.path}: sample {key} is cut off, the file shrank while in use; copy the "
                "shard again"
            )
        return data

    @cached_property
    def _handle(self) -> int:
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, handle)
        return handle

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path, self.keys, self.members)

    __hash__ = object.__hash__  # members are dicts; a shard is itself


def open_shard(path: Path) -> Shard:
    """Scan the headers of a tar once; no data is read.

    Raises:
        DataError: absent, not an uncompressed tar, cut off, or one field twice in a sample.
    """
    keys: list[str] = []
    members: list[dict[str, Place]] = []
    try:
        for name, place in _members(path):
            found = _KEY.fullmatch(name)
            if found is None or _META.match(name):
                continue
            key, field = found[1], found[2].lower()
            if not keys or keys[-1] != key:
                keys.append(key)
                members.append({})
            if field in members[-1]:
                raise DataError(f"{path}: {name} is there twice; make the shard again")
            members[-1][field] = place
    except _CutOff as cut:
        # A last sample that has not the fields of the first lost some to the cut.
        whole = len(keys) - 1 if keys and members[-1].keys() < members[0].keys() else len(keys)
        raise DataError(
            f"{path}: is cut off or damaged after {whole:,} samples; copy it again or remove it"
        ) from cut
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read as an uncompressed tar ({error})") from error
    return Shard(path, tuple(keys), tuple(members))


def write_shards(
    folder: Path,
    samples: Iterable[Mapping[str, bytes]],
    classes: Sequence[str] | None,
    per_shard: int = 1000,
) -> ShardIndex:
    """Write `samples` (bytes by field) in order; the same samples give the same files.

    The index comes last: a folder without one is unfinished. One shard is held in memory.

    Raises:
        StudyError: the folder holds shards already.
        DataError: there are no samples.
        StoreError: the folder cannot be written.
    """
    if folder.is_dir() and shard_index.list_shards(folder):
        raise StudyError(f"{folder}: holds shards already; remove them or name another folder")
    rest, numbers = iter(samples), count()
    entries: list[ShardEntry] = []
    fields: set[str] = set()
    while batch := list(islice(rest, per_shard)):
        path = folder / f"{len(entries):06d}.tar"
        _write_tar(path, batch, numbers)
        entries.append(_entry(path, len(batch)))
        fields.update(*batch)
    if not entries:
        raise DataError(f"{folder}: there are no samples to write; check the input")
    names = None if classes is None else tuple(classes)
    index = ShardIndex(folder, tuple(entries), tuple(sorted(fields)), names)
    shard_index.write(index)
    return index


def remove_shards(folder: Path) -> None:
    """Remove what `write_shards` wrote, the index first, so that a crash leaves no false one."""
    (folder / shard_index.NAME).unlink(missing_ok=True)
    for name in shard_index.list_shards(folder):
        (folder / name).unlink()


def build_index(folder: Path, progress: Progress | None = None) -> ShardIndex:
    """Read every shard of `folder` once and write its index; about 1 GB/s from a local disk.

    Class names come from `classes.json` beside the shards, else they are "0", "1", ...

    Raises:
        DataError: no shards, one that is broken, a wrong cls, or more classes than names.
    """
    names = list(shard_index.list_shards(folder))
    if not names:
        raise DataError(f"{folder}: holds no .tar shards; correct the path")
    entries: list[ShardEntry] = []
    fields: set[str] = set()
    highest = -1
    for name in names:
        shard = open_shard(folder / name)
        fields.update(*shard.members)
        if "cls" in fields:
            highest = max([highest, *(shard.label(i) for i in range(len(shard)))])
        entries.append(_entry(shard.path, len(shard)))
        if progress:
            progress(len(entries), len(names))
    classes = _class_names(folder, highest + 1)
    index = ShardIndex(folder, tuple(entries), tuple(sorted(fields)), classes)
    shard_index.write(index)
    return index


@dataclass(frozen=True)
class Problem:
    """What is wrong with a shard, or with one sample of it."""

    shard: str
    key: str | None
    what: str


def check(folder: Path, progress: Progress | None = None) -> list[Problem]:
    """Open every shard, decode every image, and hold all against the index.

    Raises:
        DataError: there is no such folder.
    """
    problems: list[Problem] = []
    names = list(shard_index.list_shards(folder))
    index = None
    try:
        index = ShardIndex.load(folder)
    except DataError as error:
        problems.append(Problem(shard_index.NAME, None, str(error)))
    for done, name in enumerate(names, start=1):
        try:
            problems += _check_shard(open_shard(folder / name), index)
        except DataError as error:
            problems.append(Problem(name, None, str(error)))
        if progress:
            progress(done, len(names))
    return problems


def _check_shard(shard: Shard, index: ShardIndex | None) -> Iterator[Problem]:
    name = shard.path.name
    if index is not None:
        entry = next(entry for entry in index.entries if entry.name == name)
        if files.sha256(shard.path) != entry.sha256:
            yield Problem(name, None, "its bytes are not those that were indexed")
    needed = set(index.fields if index else shard.members[0] if shard.keys else ())
    seen: set[str] = set()
    for i, key in enumerate(shard.keys):
        if key in seen:
            yield Problem(name, key, "the key is there twice")
        seen.add(key)
        for field in sorted(needed - set(IMAGE_FIELDS) - set(shard.members[i])):
            yield Problem(name, key, f"has no {field}")
        for what in _check_sample(shard, i, index):
            yield Problem(name, key, what)


def _check_sample(shard: Shard, i: int, index: ShardIndex | None) -> Iterator[str]:
    from hpc_xfer.data.images import decode_array  # loads torch, which writers do without

    images = shard.read(i, IMAGE_FIELDS)
    if len(images) != 1:
        yield f"has {len(images)} images ({', '.join(images) or 'none of jpg, jpeg, png, webp'})"
    for field, data in images.items():
        try:
            decode_array(data, field)
        except DataError as error:
            yield str(error)
    if "cls" in shard.members[i]:
        try:
            label = shard.label(i)
            if index and index.classes is not None and label >= len(index.classes):
                yield f"has cls {label}, but there are {len(index.classes)} classes"
        except DataError as error:
            yield str(error)
    if not _is_text(shard.read(i, ["txt"]).get("txt", b"-")):
        yield "its txt is empty or not UTF-8"


def _is_text(data: bytes) -> bool:
    try:
        return bool(data.decode().strip())
    except UnicodeDecodeError:
        return False


class _CutOff(Exception):
    pass


def _members(path: Path) -> Iterator[tuple[str, Place]]:
    """Name and place of every regular member.

    tarfile stops in silence at a header that is cut off or damaged, so the end is checked here.
    """
    size = path.stat().st_size
    with tarfile.open(path, "r:") as tar:
        while True:
            try:
                member = tar.next()
            except tarfile.ReadError as error:
                if tar.offset == 0:
                    raise
                raise _CutOff from error
            if member is None:
                break
            tar.members = []  # type: ignore[attr-defined]  # it keeps them all: 1 kB each
            if member.offset_data + member.size > size:
                raise _CutOff
            if member.isreg():
                yield member.name, (member.offset_data, member.size)
        end = tar.offset
    with open(path, "rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise _CutOff


def _write_tar(path: Path, batch: Sequence[Mapping[str, bytes]], numbers: Iterator[int]) -> None:
    from webdataset.writer import TarWriter  # loads torch: 5 s that readers of this file save

    def write(file: Any) -> None:
        with TarWriter(file, encoder=False, mtime=0) as tar:  # a fixed time: the same bytes
            for sample in batch:
                tar.write({"__key__": f"{next(numbers):09d}", **sample})

    files.write_atomically(path, write)


def _entry(path: Path, samples: int) -> ShardEntry:
    return ShardEntry(path.name, samples, path.stat().st_size, files.sha256(path))


def _class_names(folder: Path, classes: int) -> tuple[str, ...] | None:
    """`classes` is the highest class number plus one, 0 where no sample has one."""
    path = folder / CLASSES
    if not path.exists():
        return tuple(map(str, range(classes))) if classes else None
    names = files.read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: is not a JSON list of names; write one name per class, in order")
    if len(names) < classes:
        raise DataError(
            f"{path}: names {len(names)} classes, but the shards have class {classes - 1}; add the "
            "missing names"
        )
    return tuple(names)
