"""Tar shards with random access, in the layout of WebDataset.

A sample is a group of neighbouring members that share a key: `a/000017.png`, `a/000017.txt` and
`a/000017.cls` are the fields png, txt and cls of sample `a/000017`.
"""

import hashlib
import os
import re
import tarfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpc_xfer.data import tar_members
from hpc_xfer.data.tar_members import CutOff
from hpc_xfer.errors import DataError

Place = tuple[int, int]  # offset and size in bytes

# WebDataset's rules: the key ends at the first dot of the base name; `__meta__` is no sample.
_KEY = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
_CLASS = re.compile("[0-9]{1,18}")
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

    def hold(self) -> "Shard":
        """From now on the file may be removed, or another be put in its place.

        Raises:
            DataError: it is gone already.
        """
        try:
            _ = self._handle
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error
        return self

    def label(self, i: int) -> int:
        """The class number in field cls of sample `i`.

        Raises:
            DataError: no cls, or not a number of 0 or more.
        """
        if "cls" not in self.members[i]:
            raise DataError(f"{self.path}: sample {self.keys[i]} has no cls; make the shard again")
        text = self.read(i, ["cls"])["cls"].decode(errors="replace").strip()
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

    def begins(self, i: int) -> int:
        """Where the first byte of sample `i` lies in the tar, without its header."""
        return min(offset for offset, _ in self.members[i].values())

    def ends(self, i: int) -> int:
        """Where the last byte of sample `i` lies, plus one."""
        return max(offset + size for offset, size in self.members[i].values())

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


def key_and_field(name: str) -> tuple[str, str] | None:
    """Of a member by its name, as WebDataset has it; None where it is part of no sample."""
    found = _KEY.fullmatch(name)
    return None if found is None or _META.match(name) else (found[1], found[2].lower())


def open_shard(path: Path) -> Shard:
    """Scan the headers of a tar once; no data is read.

    Raises:
        DataError: absent, not an uncompressed tar, cut off, or one field twice in a sample.
    """
    keys: list[str] = []
    members: list[dict[str, Place]] = []
    try:
        for name, offset, size, kind in tar_members.members(path):
            parts = key_and_field(name)
            if parts is None or kind != "file":
                continue
            key, field = parts
            if not keys or keys[-1] != key:
                keys.append(key)
                members.append({})
            if field in members[-1]:
                raise DataError(f"{path}: {name} is there twice; make the shard again")
            members[-1][field] = (offset, size)
    except CutOff as cut:
        # A last sample that has not the fields of the first lost some to the cut.
        whole = len(keys) - 1 if keys and members[-1].keys() < members[0].keys() else len(keys)
        raise DataError(
            f"{path}: is cut off or damaged after {whole:,} samples; copy it again or remove it"
        ) from cut
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read as an uncompressed tar ({error})") from error
    return Shard(path, tuple(keys), tuple(members))
