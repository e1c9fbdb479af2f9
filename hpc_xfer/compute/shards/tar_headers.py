"""What lies where in a tar: its headers, read one after another, no data.

tarfile takes 30 us for a header, or 60 where it stands behind one of the times (as WebDataset
writes them), which is seconds for a shard of 10,000 samples. Both take 5 here; from the first
that is not so plain, tarfile reads the rest. It stops in silence at a header that is cut off or
damaged, so the end is checked here.
"""

import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(_BLOCK)
_ADLER = 65521  # zlib.adler32 keeps the sum of bytes modulo this in its lower half
_TIME = re.compile(rb"([0-9]{1,3}) [acm]time=[0-9.]*\n")  # in a PAX header
_LONGEST = 1024  # bytes of one
_PIECE, _SMALL = 1 << 18, 1 << 14  # bytes; what lies beside a large image fits into the second


class Member(NamedTuple):
    """One entry of a tar."""

    name: str
    offset: int  # of its data, in bytes
    size: int  # of its data, in bytes
    kind: str  # file | folder | link | other


class CutOff(Exception):
    """The tar ends, or stops making sense, `at` bytes from its start."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def members(path: Path) -> Iterator[Member]:
    """Every member that is whole, in order.

    Raises:
        CutOff: after the last member that is whole.
        OSError, tarfile.TarError: not there, or no uncompressed tar at all.
    """
    with open(path, "rb", buffering=0) as file:
        there, whole = _PieceReader(file.fileno()), os.fstat(file.fileno()).st_size
        begins = 0  # of the next member, with the header before it if there is one
        while (header := there.read(_BLOCK, begins)) != _END:
            at = _behind_times(there, header, begins)
            if at is None:
                at = begins
            else:
                header = there.read(_BLOCK, at)
            member = _plain(header, at)
            if member is None or member.offset + member.size > whole:
                yield from _of_any_kind(file, begins, whole)
                return
            yield member
            begins = _behind(member.offset, member.size)


class _PieceReader:
    """Reads a file from front to back, in large pieces where headers lie close together.

    A file system that is far away takes as long for a header as for a piece.
    """

    def __init__(self, handle: int) -> None:
        self.handle, self.start, self.piece = handle, 0, b""
        self.last = 0  # where was read

    def read(self, size: int, at: int) -> bytes:
        """At most `_LONGEST` bytes, fewer at the end of the file."""
        if not self.start <= at <= self.start + len(self.piece) - size:
            close = at - self.last < _PIECE // 4
            self.start, self.piece = at, os.pread(self.handle, _PIECE if close else _SMALL, at)
        self.last = at
        return self.piece[at - self.start : at - self.start + size]


def _plain(header: bytes, at: int) -> Member | None:
    """A file whose header needs no other; None of all else."""
    size = _size(header)
    if size is None or header[156] not in b"0\0":
        return None
    name, prefix = _text(header[:100]), _text(header[345:500])
    if name.endswith("/"):
        return None
    return Member(f"{prefix}/{name}" if prefix else name, at + _BLOCK, size, "file")


def _behind_times(there: _PieceReader, header: bytes, at: int) -> int | None:
    """Where the next header is, if this one holds nothing but times of the file to come."""
    if header[156:157] != tarfile.XHDTYPE:
        return None
    size = _size(header)
    if size is None or size > _LONGEST:
        return None
    records = there.read(size, at + _BLOCK)
    lengths = [int(one[1]) == len(one[0]) for one in _TIME.finditer(records)]
    if not all(lengths) or _TIME.sub(b"", records):
        return None
    return _behind(at + _BLOCK, size)


def _size(header: bytes) -> int | None:
    """Bytes of data behind a header; None where it is damaged or written in an unusual way."""
    if len(header) < _BLOCK:
        return None
    try:
        told = int(header[148:156].rstrip(b" \0"), 8)
        size = int(header[124:136].rstrip(b" \0"), 8)
    except ValueError:
        return None
    # The sum of all bytes, where those that tell it count as spaces.
    whole = told - 8 * ord(" ") + sum(header[148:156])
    sound = size >= 0 and (1 + whole) % _ADLER == zlib.adler32(header) & 0xFFFF
    return size if sound else None


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _behind(offset: int, size: int) -> int:
    return offset + -(-size // _BLOCK) * _BLOCK


def _of_any_kind(file: IO[bytes], begins: int, whole: int) -> Iterator[Member]:
    """What is there from `begins` on, by tarfile; see `members`."""
    file.seek(begins)
    read = begins
    with _opened(file, begins) as tar:
        while True:
            try:
                member = tar.next()
            except (tarfile.TarError, ValueError, OverflowError) as error:  # of absurd sizes
                raise CutOff(read) from error
            if member is None:
                read = tar.offset
                break
            if tar.offset <= read:  # a size below 0 would lead in circles
                raise CutOff(read)
            read = tar.offset
            tar.members = []  # type: ignore[attr-defined]  # it keeps them all: 1 kB each
            if member.offset_data + member.size > whole:
                raise CutOff(member.offset)
            yield Member(member.name, member.offset_data, member.size, _kind(member))
    if os.pread(file.fileno(), _BLOCK, read) != _END:
        raise CutOff(read)


def _opened(file: IO[bytes], begins: int) -> tarfile.TarFile:
    """It reads the first header."""
    try:
        return tarfile.open(fileobj=file, mode="r:", encoding="utf-8")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        if begins:
            raise CutOff(begins) from error
        raise tarfile.ReadError(str(error)) from error


def _kind(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "file"
    if member.isdir():
        return "folder"
    return "link" if member.issym() or member.islnk() else "other"
