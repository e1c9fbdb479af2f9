"""JPEG 2000: bound the tiles and their parts, for each of which the decoder takes memory."""

import struct

from hpc_xfer.compute.images.structure.boxes import boxes
from hpc_xfer.compute.images.structure.odd_image import OddImage

_START = b"\xff\x4f\xff\x51"
_HEADER, _STREAM = b"jp2h", b"jp2c"
_MOST_TILES = 4_096
_MOST_COMPONENTS = 4
_MOST_PARTS = 20_000  # of tiles, and segments of headers
_TILE, _DATA, _END = 0xFF90, 0xFF93, 0xFFD9
_STYLE, _STYLE_OF_COMPONENT = 0xFF52, 0xFF53
_LEAST_BLOCK = 4  # log2 of its pixels, less 4: 256 pixels; encoders write 1,024 or 4,096
_LEAST_PRECINCT = 5  # bits of a side: 32 pixels; encoders write 128 or more
_MOST_LAYERS = 100


def check(data: bytes) -> None:
    at = _start(data)
    if at < 0:
        return  # no image inside: the decoder says so
    try:
        _check_size(data, at + 4)
        _check_styles(data, at + 2)
    except struct.error:
        return


def _start(data: bytes) -> int:
    """Offset of the stream, which decoders take from the first box for one; -1 without any."""
    if data.startswith(_START):
        return 0
    for box in boxes(data, 0, len(data)):
        if box.kind == _HEADER:
            list(boxes(data, box.start, box.end))  # counts them
        if box.kind == _STREAM:
            return data.find(_START, box.start, box.start + len(_START))
    return -1


def _check_size(data: bytes, at: int) -> None:
    right, bottom, left, top, width, height, x, y = struct.unpack_from(">8I", data, at + 4)
    (components,) = struct.unpack_from(">H", data, at + 36)
    if not width or not height or right <= left or bottom <= top:
        raise OddImage("has tiles without a size")
    if components > _MOST_COMPONENTS:
        raise OddImage(f"has more than {_MOST_COMPONENTS} components")
    if -(-max(0, right - x) // width) * -(-max(0, bottom - y) // height) > _MOST_TILES:
        raise OddImage(f"has more than {_MOST_TILES:,} tiles")


def _check_styles(data: bytes, at: int) -> None:
    """Go through the headers of the image and of its tiles, to look at each coding style."""
    tile, end = 0, 0
    for _ in range(_MOST_PARTS):
        if at + 4 > len(data):
            return
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _END:
            return
        if marker == _TILE:
            (size,) = struct.unpack_from(">I", data, at + 6)
            tile, end = at, at + size if size else len(data)
        if marker == _DATA:
            if end <= tile + 12:
                return
            at = end
            continue
        if marker in (_STYLE, _STYLE_OF_COMPONENT):
            _check_style(marker, data[at + 4 : at + 2 + length])
        at += 2 + length
    raise OddImage(f"has more than {_MOST_PARTS:,} parts")


def _check_style(marker: int, said: bytes) -> None:
    """Check sizes of blocks and precincts, of which a small one makes millions of them."""
    if marker == _STYLE and int.from_bytes(said[2:4], "big") > _MOST_LAYERS:
        raise OddImage(f"has more than {_MOST_LAYERS} layers")
    flags, blocks, precincts = (0, 6, 10) if marker == _STYLE else (1, 3, 7)
    if len(said) < precincts:
        raise OddImage("has a coding style that is cut off")
    if said[blocks] + said[blocks + 1] < _LEAST_BLOCK:
        raise OddImage("has tiny blocks")
    has_precincts = said[flags] & 1
    if has_precincts and any(
        min(each & 15, each >> 4) < _LEAST_PRECINCT for each in said[precincts:]
    ):
        raise OddImage("has tiny precincts")
