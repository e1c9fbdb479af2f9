"""PNG: count the chunks. Each takes Pillow 3 us, and 64 MB may hold 5 million.

Pillow takes a second header for the true one; here an image has one, at its start.
"""

import struct

from hpc_xfer.compute.images import limits
from hpc_xfer.compute.images.limits import Cost
from hpc_xfer.compute.images.structure.odd_image import OddImage

_MOST = 50_000  # chunks; encoders write pixels in chunks of 8 kB or more
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # the last one is a profile of colors
_MOST_TEXTS = 64  # each unpacks to 1 MB at most; Pillow stops at 64 MB in all
_HEADER, _END = b"IHDR", b"IEND"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type


def check(data: bytes) -> None:
    at, chunks, texts, size = 8, 0, 0, len(data)
    if data[12:16] != _HEADER:
        raise OddImage("has no header at its start")
    while at + 8 <= size:
        kind = data[at + 4 : at + 8]
        chunks += 1
        texts += kind in _TEXTS
        if chunks > _MOST or texts > _MOST_TEXTS:
            raise OddImage(f"has more than {_MOST:,} parts, or {_MOST_TEXTS} of text")
        if kind == _HEADER and at > 8:
            raise OddImage("has two headers")
        if kind == _END:
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def cost(data: bytes) -> Cost:
    """Cost by the bits of a pixel, which its header tells."""
    try:
        depth, color = struct.unpack_from("BB", data, 24)
    except struct.error:
        return limits.png(64)
    return limits.png(depth * _CHANNELS.get(color, 4))
