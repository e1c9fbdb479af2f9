"""Tar shards with random access, in the layout of WebDataset.

A sample is a group of neighboring members that share a key: `a/000017.png`, `a/000017.txt` and
`a/000017.cls` are the fields png, txt and cls of sample `a/000017`.
"""

import hashlib
import os
import tarfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpc_xfer.compute.images import limits
from hpc_xfer.compute.shards import labels, tar_headers
from hpc_xfer.compute.shards.labels import BadLabel
from hpc_xfer.compute.shards.passed_over import PassedOver, PassedOverCounter, key_and_field
from hpc_xfer.compute.shards.sample_index import (
    ByteRange,
    LazySequence,
    SampleIndex,
    SampleIndexBuilder,
)
from hpc_xfer.compute.shards.tar_damage import DamagedTar
from hpc_xfer.errors import DataError

Sample = dict[str, bytes]  # by field
_SPOTS = 8  # samples of a spot digest; each is one read, about 1 ms on a network file system
SPARSE = "is a sparse file, without its holes; pack it again without `tar --sparse`"


_MOST_BYTES = {"json": limits.JSON, **dict.fromkeys(("txt", "cls"), limits.TEXT)}  # by field


def most_bytes(field: str) -> int:
    """Bytes of a field above which it is not read."""
    return _MOST_BYTES.get(field, limits.FILE)


@dataclass(frozen=True, eq=False)
class Shard:
    """One open tar: a table in memory, and a file handle that the first read opens.

    Reads have a position of their own, so forked workers may share the handle. A pickled shard
    opens its own.
    """

    path: Path
    sample_index: SampleIndex
    passed_over: tuple[PassedOver, ...] = ()  # known only where the headers were read

    def __len__(self) -> int:
        return len(self.sample_index)

    @property
    def keys(self) -> Sequence[str]:
        return LazySequence(len(self), self.sample_index.key)

    @property
    def members(self) -> Sequence[dict[str, ByteRange]]:
        """The byte ranges of each sample by field."""
        return LazySequence(len(self), self.sample_index.members)

    def read(self, i: int, fields: Sequence[str] | None = None) -> Sample:
        """Read the fields of sample `i`, or those of `fields` that it has.

        Raises:
            DataError: the file changed since it was opened, or is gone; or a field is too large.
        """
        members = self.sample_index.members(i)
        wanted = members if fields is None else [field for field in fields if field in members]
        return {field: self._read(i, field, *members[field]) for field in wanted}

    def keep_open(self) -> "Shard":
        """Open the file now, so that it stays readable after it is removed or replaced.

        Raises:
            DataError: it cannot be opened.
        """
        try:
            _ = self.identity
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read ({error.strerror}); check the disk"
            ) from error
        return self

    @cached_property
    def identity(self) -> tuple[int, ...]:
        """Device, number, size and time of the file: they differ after a write or a replacement."""
        stat = os.fstat(self._handle)
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def label(self, i: int) -> int:
        """Read the class number in field cls of sample `i`.

        Raises:
            DataError: no cls, or not a number of 0 or more.
        """
        members = self.read(i, ["cls"])
        if not members:
            raise DataError(f"{self.path}: sample {self.keys[i]} has no cls; make the shard again")
        try:
            return labels.class_number(members["cls"])
        except BadLabel as error:
            raise DataError(f"{self.path}: sample {self.keys[i]}: {error}; correct it") from None

    @cached_property
    def layout(self) -> str:
        """16 hex digits of the keys and byte ranges: shards of the same size differ in them.

        No data is read for it.
        """
        digest = hashlib.sha256()
        for key, members in zip(self.keys, self.members, strict=True):
            line = f"{key}\0{sorted(members.items())}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    @property
    def spot_digest(self) -> str:
        """64 hex digits of the bytes in nine spots of the open file, from its start to its end.

        Raises:
            OSError: they cannot be read.
        """
        size = os.fstat(self._handle).st_size
        step = max(1, (len(self) - 1) / (_SPOTS - 1))
        chosen = sorted({min(round(i * step), len(self) - 1) for i in range(_SPOTS)})
        headers = [self.data_start(i) - tarfile.BLOCKSIZE for i in chosen if i >= 0]
        digest = hashlib.sha256()
        for offset in (*headers, max(0, size - 2 * tarfile.BLOCKSIZE)):
            digest.update(os.pread(self._handle, 2 * tarfile.BLOCKSIZE, offset))
        return digest.hexdigest()

    def data_start(self, i: int) -> int:
        """Offset of the first data byte of sample `i`, after its header."""
        return min(offset for offset, _ in self.sample_index.members(i).values())

    def data_end(self, i: int) -> int:
        """Offset after the last data byte of sample `i`."""
        return max(offset + size for offset, size in self.sample_index.members(i).values())

    def _read(self, i: int, field: str, offset: int, size: int) -> bytes:
        if size > (most := most_bytes(field)):
            raise DataError(
                f"{self.path}: sample {self.keys[i]} has a {field} of {size:,} bytes, more than "
                f"the {most:,} that are read; make it smaller or remove it"
            )
        try:
            data = os.pread(self._handle, size, offset)
        except OSError as error:
            raise DataError(
                f"{self.path}: sample {self.keys[i]} cannot be read ({error.strerror}); check the "
                "disk"
            ) from error
        if len(data) < size:
            raise DataError(
                f"{self.path}: sample {self.keys[i]} is cut off: the file shrank while in use; "
                "copy the shard again"
            )
        return data

    @cached_property
    def _handle(self) -> int:
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, handle)
        return handle

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path, self.sample_index, self.passed_over)


def open_shard(path: Path) -> Shard:
    """Read the headers of a tar once; no data is read.

    Raises:
        DataError: absent, not an uncompressed tar, cut off, a sample has a field twice, or a file
            of it is sparse.
    """
    builder, passed_over = SampleIndexBuilder(), PassedOverCounter()
    try:
        for member in tar_headers.members(path):
            name, offset, size, kind = member
            parts = key_and_field(name)
            if parts is not None and kind == "file":
                if not builder.add(*parts, offset, size):
                    raise DataError(f"{path}: {name} occurs twice; make the shard again")
            elif parts is not None and kind == "sparse":
                raise DataError(f"{path}: {name} {SPARSE}")
            else:
                passed_over.add(member)
    except DamagedTar as damage:
        complete = _complete_samples(builder.build())
        raise DataError(
            f"{path}: {damage.what} after {complete:,} samples; {damage.remedy}"
        ) from damage
    except (OSError, tarfile.TarError) as error:
        raise DataError(
            f"{path}: cannot be read as an uncompressed tar ({error}); copy it again or remove it"
        ) from error
    return Shard(path, builder.build(), passed_over.build())


def _complete_samples(index: SampleIndex) -> int:
    """Count the complete samples of a cut tar. The last one may lack fields of the first."""
    last = len(index) - 1
    lacks = last >= 0 and index.members(last).keys() < index.members(0).keys()
    return last if lacks else len(index)
