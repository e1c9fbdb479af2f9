"""Parse any entry of a tar: USTAR, GNU and PAX, with long names, links and sparse files.

tarfile ignores what it does not understand in a PAX header, stops in silence at a damaged header,
and shows a sparse file as if all of it were there. Here each of these is damage or has a kind.
"""

import os
import tarfile
from typing import NamedTuple

from hpc_xfer.compute.shards.tar_damage import BLOCK, DamagedTar

USTAR = b"ustar\0"  # in headers that have a prefix of the name
_LONGEST = 1 << 20  # bytes of an extended header; paths have 4,096 at most
_MOST_HEADERS = 16  # before one entry: GNU and PAX write two at most, joined tars some global ones
_MOST_MAPS = 10_000  # blocks of a sparse file's map, with 21 holes each
_FILES = (b"0", b"\0", b"7")
_WITHOUT_DATA = {
    b"1": "hard link", b"2": "link", b"3": "other", b"4": "other", b"5": "folder", b"6": "other",
}  # fmt: skip
_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK, _SPARSE = (b"x", b"X"), b"g", b"L", b"K", b"S"
_SPARSE_RECORD = "GNU.sparse."
# Records that change how the following members are read.
_DECISIVE = ("path", "linkpath", "size")
_TEXTS = (b"path", b"linkpath", b"size", b"GNU.sparse.name")  # others may hold any bytes


class Entry(NamedTuple):
    """An entry with its extended headers. See Member for the kinds."""

    name: str
    offset: int  # of its data, in bytes
    size: int  # of its data, in bytes
    kind: str
    target: str  # of a link
    end: int  # offset of the next entry


class _Header(NamedTuple):
    kind: bytes
    name: str
    size: int
    target: str
    more_maps: bool  # a sparse file has blocks of its map after the header


def read_entry(handle: int, start: int, total: int) -> Entry:
    """Read the entry at `start`, with the extended headers before it.

    Raises:
        DamagedTar: it is cut off or damaged.
        OSError: it cannot be read.
    """
    records: dict[str, str] = {}
    at = start
    for _ in range(_MOST_HEADERS):
        header = _parse(os.pread(handle, BLOCK, at))
        if header is None:
            raise DamagedTar(start)
        if header.kind not in (*_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK):
            return _entry(handle, start, at, header, records)
        if header.size > _LONGEST or at + BLOCK + header.size > total:
            raise DamagedTar(start)
        found = _extended(header.kind, os.pread(handle, header.size, at + BLOCK))
        if found is None or (header.kind == _GLOBAL and _changes_reading(found)):
            raise DamagedTar(start)
        if header.kind != _GLOBAL:
            records |= found
        at = next_block(at + BLOCK, header.size)
    raise DamagedTar(start)


def next_block(offset: int, size: int) -> int:
    return offset + -(-size // BLOCK) * BLOCK


def text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _entry(handle: int, start: int, at: int, header: _Header, records: dict[str, str]) -> Entry:
    is_sparse = header.kind == _SPARSE or any(key.startswith(_SPARSE_RECORD) for key in records)
    name = records.get("GNU.sparse.name") or records.get("path") or header.name
    target = records.get("linkpath") or header.target
    try:
        size = int(records.get("size") or header.size)
    except ValueError:
        raise DamagedTar(start) from None
    if size < 0:
        raise DamagedTar(start)
    offset, more, maps = at + BLOCK, header.more_maps, 0
    while more:
        maps += 1
        block = os.pread(handle, BLOCK, offset)
        if len(block) < BLOCK or maps > _MOST_MAPS:
            raise DamagedTar(start)
        offset, more = offset + BLOCK, block[504] != 0
    kind = "sparse" if is_sparse else "file"
    if header.kind in _WITHOUT_DATA:
        kind, size = _WITHOUT_DATA[header.kind], 0
    elif header.kind not in (*_FILES, _SPARSE):
        kind = "folder" if header.kind == b"D" else "other"
    elif name.endswith("/"):
        kind = "folder"
    name = name.rstrip("/") if kind == "folder" else name
    return Entry(name, offset, size, kind, target, next_block(offset, size))


def _changes_reading(records: dict[str, str]) -> bool:
    return any(key in _DECISIVE or key.startswith(_SPARSE_RECORD) for key in records)


def _extended(kind: bytes, data: bytes) -> dict[str, str] | None:
    """Parse what an extended header says; None where it is damaged."""
    if kind in (_LONG_NAME, _LONG_LINK):
        value = data.removesuffix(b"\0")
        if not value or b"\0" in value:  # a part of it is a hole
            return None
        return {"path" if kind == _LONG_NAME else "linkpath": text(value)}
    return _records(data)


def _records(data: bytes) -> dict[str, str] | None:
    """Parse records such as `21 path=cat/000001.jpg`, which have to fill the data."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        length, _, _ = data[at : at + 8].partition(b" ")
        end = at + int(length) if length.isdigit() else at
        record = data[at + len(length) + 1 : end]
        key, equals, value = record.partition(b"=")
        if end > len(data) or not equals or not record.endswith(b"\n"):
            return None
        if b"\0" in key or (b"\0" in value and key in _TEXTS):  # a part of it is a hole
            return None
        found[key.decode("utf-8", "surrogateescape")] = text(value[:-1])
        at = end
    return found


def _parse(header: bytes) -> _Header | None:
    """Parse one block; None where it is damaged."""
    if len(header) < BLOCK:
        return None
    checksum, size = _number(header[148:156]), _number(header[124:136])
    if size is None or size < 0:
        return None
    # Of signed and of unsigned bytes; it is public, and missing from the annotations of tarfile.
    if checksum not in tarfile.calc_chksums(header):  # type: ignore[attr-defined]
        return None
    kind, name = header[156:157], text(header[:100])
    # GNU's old format has times in place of the prefix.
    prefix = text(header[345:500]) if header[257:263] == USTAR else ""
    more_maps = kind == _SPARSE and header[482] != 0
    path = f"{prefix}/{name}" if prefix else name
    return _Header(kind, path, size, text(header[157:257]), more_maps)


def _number(field: bytes) -> int | None:
    """Read a number: octal digits, or binary where the first byte says so."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big", signed=False) - (
            256 ** (len(field) - 1) if field[0] == 0xFF else 0
        )
    digits = field.partition(b"\0")[0].strip(b" ")
    if not all(48 <= digit < 56 for digit in digits):
        return None
    return int(digits or b"0", 8)
