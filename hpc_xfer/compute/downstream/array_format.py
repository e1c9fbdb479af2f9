"""The bytes of a cached array: rows, then a line that describes them, then how long the line is."""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
_END = 64 + 17  # SHA-256 of the line in hex, and its length in 16 digits after a space


class DamagedCacheError(Exception):
    """A cached array is not what was written; its reader makes the rows anew."""


class CannotWriteError(Exception):
    """The disk refused; this is not an error of what makes the rows."""


@contextmanager
def disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWriteError(error.strerror or str(error)) from error


@dataclass
class Checksums:
    """Checksums of a stream, one per block of so many bytes."""

    block: int
    _sums: list[int] = field(default_factory=list)
    _filled: int = 0  # bytes in the last block

    def add(self, data: memoryview) -> None:
        while data:
            if self._filled in (0, self.block):
                self._sums.append(0)
                self._filled = 0
            part = data[: self.block - self._filled]
            self._sums[-1] = zlib.crc32(part, self._sums[-1])
            self._filled += len(part)
            data = data[len(part) :]

    def text(self) -> str:
        return " ".join(f"{value:08x}" for value in self._sums)


def write_all(handle: int, data: memoryview) -> None:
    with disk_errors():
        while data:
            data = data[os.write(handle, data) :]


def bytes_of(rows: Rows) -> memoryview:
    """The bytes of a contiguous array; none for an empty one, which has no such view."""
    return rows.reshape(-1).view(np.uint8).data.cast("B") if rows.size else memoryview(b"")


def ending(description: Mapping[str, Any], checksums: Checksums) -> bytes:
    """Make the bytes that follow the rows: the description of the array and its checksums."""
    line = json.dumps({**description, "crc32": checksums.text()}).encode()
    return line + f"{hashlib.sha256(line).hexdigest()} {len(line):016}".encode()


def read_checksums(handle: int, rows: int, description: Mapping[str, Any]) -> list[int]:
    """Read the checksums of an array whose rows are so many bytes long.

    Raises:
        DamagedCacheError: it is not whole, or is described otherwise.
    """
    size = os.fstat(handle).st_size
    end = os.pread(handle, _END, max(0, size - _END))
    if len(end) < _END or not end[-16:].isdigit() or rows + int(end[-16:]) + _END != size:
        raise DamagedCacheError("it is not whole")
    blocks = -(-int(description["shape"][0]) // int(description["block"]))
    wanted = len(ending(description, Checksums(1))) - _END + max(0, 9 * blocks - 1)
    if int(end[-16:]) != wanted:  # before it takes memory for what it claims
        raise DamagedCacheError("it holds something else")
    line = os.pread(handle, wanted, rows)
    if hashlib.sha256(line).hexdigest().encode() != end[:64]:
        raise DamagedCacheError("its description is damaged")
    try:
        head = json.loads(line)
        sums = [int(value, 16) for value in head.pop("crc32").split()]
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        raise DamagedCacheError("it holds something else") from None
    if head != description or len(sums) != blocks:
        raise DamagedCacheError("it holds something else")
    return sums
