"""TIFF: look at the first directory, and at JPEGs inside, which may have scans without end."""

import struct
from collections.abc import Sequence

from hpc_xfer.compute.images.structure.odd_image import OddImage

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MOST_TAGS = 1_000  # the standard has a hundred
_MOST_PARTS = 100_000  # strips or tiles; each takes Pillow or libtiff microseconds
_COMPRESSION, _OFFSETS, _COUNTS = 259, (273, 324), (279, 325)
# None, CCITT, LZW, JPEG, Deflate, PackBits. Others are rare, or slow: LZMA, JBIG.
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32_773, 32_946})
_JPEG = 7
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323
_TILE = 1 << 22  # pixels of a tile that any image may have; libtiff decodes a tile whole
_ROUNDED = 1.1  # sides of a tile are multiples of 16, so it may be larger than the image
_SCAN = b"\xff\xda"
_MOST_SCANS = 3  # of each strip of a JPEG


def check(data: bytes) -> None:
    try:
        tags = _tags(data)
    except struct.error:
        return  # cut off: the decoder says so
    _check_tiles(data, tags)
    compression = _values(data, tags.get(_COMPRESSION, b""))
    if compression and compression[0] not in _COMPRESSIONS:
        raise OddImage(f"is compressed in a way that is not read (number {compression[0]})")
    if compression and compression[0] == _JPEG:
        _check_scans(data, tags)


def check_directory(data: bytes, start: int = 4) -> None:
    """Check the first directory of a TIFF or of EXIF data.

    Raises:
        OddImage: it has too many tags, or their data is larger than the file.
    """
    try:
        _tags(data, start)
    except struct.error:
        return


def _tags(data: bytes, start: int = 4) -> dict[int, bytes]:
    """Tags and their entries of 12 bytes, whose data have to fit into the file."""
    order = _order(data)
    (first,) = struct.unpack_from(f"{order}I", data, start)
    (number,) = struct.unpack_from(f"{order}H", data, first)
    if number > _MOST_TAGS:
        raise OddImage(f"has more than {_MOST_TAGS:,} tags")
    entries = {}
    total = 0
    for i in range(number):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, first + 2 + 12 * i)
        total += _SIZES.get(kind, 1) * values
        entries[tag] = data[first + 2 + 12 * i : first + 14 + 12 * i]
        if tag in (*_OFFSETS, *_COUNTS) and values > _MOST_PARTS:
            raise OddImage(f"has more than {_MOST_PARTS:,} strips or tiles")
    if total > len(data):
        raise OddImage("has tags whose data is larger than the file")
    return entries


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"


def _values(data: bytes, entry: bytes) -> Sequence[int]:
    """Values of an entry of whole numbers."""
    if not entry:
        return ()
    order = _order(data)
    _, kind, number = struct.unpack_from(f"{order}HHI", entry)
    letter = {3: "H", 4: "I"}.get(kind)
    if letter is None:
        return ()
    size = number * _SIZES[kind]
    source, at = (entry, 8) if size <= 4 else (data, *struct.unpack_from(f"{order}I", entry, 8))
    return struct.unpack_from(f"{order}{number}{letter}", source, at)


def _check_tiles(data: bytes, tags: dict[int, bytes]) -> None:
    """Refuse a tile that is larger than the image, which is what is looked at elsewhere."""
    if _TILE_WIDTH not in tags and _TILE_HEIGHT not in tags:
        return
    width, height, across, down = (
        max(_values(data, tags.get(tag, b"")), default=0)
        for tag in (_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT)
    )
    if across * down > max(_TILE, _ROUNDED * width * height):
        raise OddImage(f"has a tile of {across:,} x {down:,} pixels, larger than the image")


def _check_scans(data: bytes, tags: dict[int, bytes]) -> None:
    """Count the scans of JPEGs. Strips that share their data would multiply them."""
    try:
        offsets, counts = (
            [value for tag in which for value in _values(data, tags.get(tag, b""))]
            for which in (_OFFSETS, _COUNTS)
        )
    except struct.error:
        return
    if len(offsets) != len(counts) or sum(counts) > len(data):
        raise OddImage("has strips that share their data")
    if sum(data.count(_SCAN, at, at + size) for at, size in zip(offsets, counts, strict=True)) > (
        _MOST_SCANS * len(offsets)
    ):
        raise OddImage("has JPEGs of many scans inside")
