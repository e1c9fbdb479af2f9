"""Read the headers of a tar one after another, and no data.

tarfile takes 30 us per header, or 60 where a header of times comes before it (as WebDataset writes
them): seconds for a shard of 10,000 samples. Here both take 5; entries that are not so plain are
read by tar_entries.py. The first block of zeros ends a tar: what follows it is looked at.
"""

import os
import re
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hpc_xfer.compute.shards import tar_damage
from hpc_xfer.compute.shards.tar_damage import BLOCK, DamagedTar
from hpc_xfer.compute.shards.tar_entries import USTAR, Entry, next_block, read_entry, text

_END = bytes(BLOCK)  # a block of zeros ends a tar
_ADLER = 65521  # zlib.adler32 keeps the sum of bytes modulo this in its lower half
_TIME = re.compile(rb"([0-9]{1,3}) [acm]time=[0-9.]*\n")  # in a PAX header
_LONGEST = 1024  # bytes of such a header
_PIECE, _SMALL = 1 << 18, 1 << 14  # bytes of one read; the second where images are large


class Member(NamedTuple):
    """One entry of a tar.

    `kind` is file, folder, link (symbolic), hard link (to no earlier file; any other is a file with
    the data of its target), sparse (its holes are left out of the data), padding (zeros after the
    end mark, where they are more than usual), or other.
    """

    name: str
    offset: int  # of its data, in bytes
    size: int  # of its data, in bytes
    kind: str


def members(path: Path, before: int | None = None) -> Iterator[Member]:
    """Yield every complete member, in order.

    Args:
        before: offset of a header; the walk ends there.

    Raises:
        DamagedTar: after the last complete member.
        OSError, tarfile.TarError: absent, or not an uncompressed tar.
    """
    with open(path, "rb", buffering=0, opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise tarfile.ReadError("it is a pipe or a device")
        pieces, total = _PieceReader(file.fileno()), status.st_size
        files: dict[str, Member] | None = None  # by name, from the first hard link on
        start = 0  # of the next member, or of the header of times before it
        while start != before and (header := pieces.read(BLOCK, start)) != _END:
            at = _after_times(pieces, header, start)
            if at is None:
                at = start
            else:
                header = pieces.read(BLOCK, at)
            member = _parse_plain(header, at)
            if member is not None:
                end = next_block(member.offset, member.size)
            else:
                entry = _read_unusual(pieces, start, total)
                member, end = Member(*entry[:4]), entry.end
                if entry.kind == "hard link":
                    if files is None:
                        files = {each.name: each for each in members(path, before=start)}
                    member = files.get(entry.target, member)._replace(name=entry.name)
            if member.offset + member.size > total:
                raise DamagedTar(start)
            if files is not None and member.kind in ("file", "sparse"):
                files[member.name] = member
            yield member
            start = end
        if start != before:
            tar_damage.check_tail(file.fileno(), start, total)
            if not tar_damage.is_usual_padding(total - start):
                yield Member("", start, total - start, "padding")


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would block for ever."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


class _PieceReader:
    """Reads a file from front to back, in large pieces where headers lie close together.

    A network file system takes as long for a header as for a large piece.
    """

    def __init__(self, handle: int) -> None:
        self.handle, self.start, self.piece = handle, 0, b""
        self.last = 0  # offset of the last read

    def read(self, size: int, at: int) -> bytes:
        """Read at most `_LONGEST` bytes; fewer at the end of the file."""
        if not self.start <= at <= self.start + len(self.piece) - size:
            close = at - self.last < _PIECE // 4
            self.start, self.piece = at, os.pread(self.handle, _PIECE if close else _SMALL, at)
        self.last = at
        return self.piece[at - self.start : at - self.start + size]


def _parse_plain(header: bytes, at: int) -> Member | None:
    """Parse a file that has one header; None for anything else."""
    size = _size(header)
    if size is None or header[156] not in b"0\0":
        return None
    name = text(header[:100])
    if name.endswith("/"):
        return None
    if header[345]:  # a prefix of the name
        if header[257:263] != USTAR:  # GNU's old format has times there
            return None
        name = f"{text(header[345:500])}/{name}"
    return Member(name, at + BLOCK, size, "file")


def _after_times(pieces: _PieceReader, header: bytes, at: int) -> int | None:
    """Offset of the next header, where this one holds nothing but times of the next file."""
    if header[156:157] != tarfile.XHDTYPE:
        return None
    size = _size(header)
    if size is None or size > _LONGEST:
        return None
    records = pieces.read(size, at + BLOCK)
    lengths = [int(one[1]) == len(one[0]) for one in _TIME.finditer(records)]
    if not all(lengths) or _TIME.sub(b"", records):
        return None
    return next_block(at + BLOCK, size)


def _size(header: bytes) -> int | None:
    """Bytes of data after a header; None where it is damaged or unusual."""
    if len(header) < BLOCK:
        return None
    try:
        checksum = int(header[148:156].rstrip(b" \0"), 8)
        size = int(header[124:136].rstrip(b" \0"), 8)
    except ValueError:
        return None
    # The checksum adds up all bytes, with spaces in place of its own.
    total = checksum - 8 * ord(" ") + sum(header[148:156])
    is_sound = size >= 0 and (1 + total) % _ADLER == zlib.adler32(header) & 0xFFFF
    return size if is_sound else None


def _read_unusual(pieces: _PieceReader, start: int, total: int) -> Entry:
    """Read an entry that is not plain; see `read_entry`."""
    if start and not any(pieces.read(BLOCK, start)):  # fewer bytes than a block, or none
        raise tar_damage.without_end_mark(min(start, total))
    try:
        return read_entry(pieces.handle, start, total)
    except DamagedTar:
        if start == 0:
            tar_damage.check_first_bytes(pieces.handle, total)
        raise
