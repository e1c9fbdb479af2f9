"""Tar shards with random access, in the layout of WebDataset.

A sample is a group of neighbouring members that share a key: `a/000017.png`, `a/000017.txt` and
`a/000017.cls` are the fields png, txt and cls of sample `a/000017`.
"""

import hashlib
import os
import re
import tarfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpc_xfer.compute.shards import tar_headers
from hpc_xfer.compute.shards.sample_index import (
    ByteRange,
    LazySequence,
    SampleIndex,
    SampleIndexBuilder,
)
from hpc_xfer.compute.shards.tar_headers import CutOff
from hpc_xfer.errors import DataError

_PROVED = 8  # samples; each is a read of its own, a millisecond or so where the file is far away
# WebDataset's rules: the key ends at the first dot of the base name; `__meta__` is no sample.
_KEY = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
_CLASS = re.compile("[0-9]{1,18}")
_META = re.compile(r"__[^/]*__($|/)")


@dataclass(frozen=True, eq=False)
class Shard:
    """One opened tar. Costs a table in memory and one file handle, opened at the first read.

    Reads are positioned, so forked workers may share it; pickled, it opens its own handle.
    """

    path: Path
    places: SampleIndex

    def __len__(self) -> int:
        return len(self.places)

    @property
    def keys(self) -> Sequence[str]:
        return LazySequence(len(self), self.places.key)

    @property
    def members(self) -> Sequence[dict[str, ByteRange]]:
        """Of each sample the places in the tar by field."""
        return LazySequence(len(self), self.places.members)

    def read(self, i: int, fields: Sequence[str] | None = None) -> dict[str, bytes]:
        """The fields of sample `i`, or those of `fields` that it has.

        Raises:
            DataError: the file is no longer what it was when it was opened, or is gone.
        """
        places = self.places.members(i)
        wanted = places if fields is None else [field for field in fields if field in places]
        return {field: self._read(i, *places[field]) for field in wanted}

    def hold(self) -> "Shard":
        """From now on the file may be removed, or another be put in its place.

        Raises:
            DataError: it is gone already.
        """
        try:
            _ = self.identity
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error
        return self

    @cached_property
    def identity(self) -> tuple[int, ...]:
        """Of the file when it was held: another in its place, or if it was written to, differs."""
        there = os.fstat(self._handle)
        return there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns

    def label(self, i: int) -> int:
        """The class number in field cls of sample `i`.

        Raises:
            DataError: no cls, or not a number of 0 or more.
        """
        found = self.read(i, ["cls"])
        if not found:
            raise DataError(f"{self.path}: sample {self.keys[i]} has no cls; make the shard again")
        text = found["cls"].decode(errors="replace").strip()
        if not _CLASS.fullmatch(text):
            raise DataError(
                f"{self.path}: sample {self.keys[i]} has cls {text!r}, which is no class number; "
                "write 0, 1, 2, ..."
            )
        return int(text)

    @cached_property
    def layout(self) -> str:
        """16 hex digits of which sample lies where: another shard of the same size has others.

        It is known without reading what lies there.
        """
        digest = hashlib.sha256()
        for key, places in zip(self.keys, self.members, strict=True):
            told = f"{key}\0{sorted(places.items())}\n"
            digest.update(told.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    @property
    def proof(self) -> str:
        """64 hex digits of a few of the bytes of the file that is held, from all over it.

        Raises:
            OSError: they cannot be read.
        """
        size = os.fstat(self._handle).st_size
        step = max(1, (len(self) - 1) / (_PROVED - 1))
        some = sorted({min(round(i * step), len(self) - 1) for i in range(_PROVED)})
        headers = [self.begins(i) - tarfile.BLOCKSIZE for i in some if i >= 0]
        digest = hashlib.sha256()
        for at in (*headers, max(0, size - 2 * tarfile.BLOCKSIZE)):
            digest.update(os.pread(self._handle, 2 * tarfile.BLOCKSIZE, at))
        return digest.hexdigest()

    def begins(self, i: int) -> int:
        """Where the first byte of sample `i` lies in the tar, without its header."""
        return min(offset for offset, _ in self.places.members(i).values())

    def ends(self, i: int) -> int:
        """Where the last byte of sample `i` lies, plus one."""
        return max(offset + size for offset, size in self.places.members(i).values())

    def _read(self, i: int, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._handle, size, offset)
        except OSError as error:
            raise DataError(
                f"{self.path}: sample {self.keys[i]} cannot be read ({error.strerror}); check the "
                "disk"
            ) from error
        if len(data) < size:
            raise DataError(
                f"{self.path}: sample {self.keys[i]} is cut off, the file shrank while in use; "
                "copy the shard again"
            )
        return data

    @cached_property
    def _handle(self) -> int:
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, handle)
        return handle

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path, self.places)


def key_and_field(name: str) -> tuple[str, str] | None:
    """Of a member by its name, as WebDataset has it; None where it is part of no sample."""
    found = _KEY.fullmatch(name)
    return None if found is None or _META.match(name) else (found[1], found[2].lower())


def open_shard(path: Path) -> Shard:
    """Scan the headers of a tar once; no data is read.

    Raises:
        DataError: absent, not an uncompressed tar, cut off, or one field twice in a sample.
    """
    found = SampleIndexBuilder()
    try:
        for name, offset, size, kind in tar_headers.members(path):
            parts = key_and_field(name)
            if parts is None or kind != "file":
                continue
            if not found.add(*parts, offset, size):
                raise DataError(f"{path}: {name} is there twice; make the shard again")
    except CutOff as cut:
        whole = _whole(found.places())
        raise DataError(
            f"{path}: is cut off or damaged after {whole:,} samples; copy it again or remove it"
        ) from cut
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read as an uncompressed tar ({error})") from error
    return Shard(path, found.places())


def _whole(places: SampleIndex) -> int:
    """Of a tar that was cut: a last sample that has not the fields of the first lost some."""
    last = len(places) - 1
    lacks = last >= 0 and places.members(last).keys() < places.members(0).keys()
    return last if lacks else len(places)
