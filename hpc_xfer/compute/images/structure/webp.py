"""WebP: Pillow makes two canvases when it opens a file, before its size can be asked."""

from hpc_xfer.compute.images import limits
from hpc_xfer.compute.images.structure.odd_image import OddImage


def check(data: bytes) -> None:
    found = _size(data)
    if found is not None and found[0] * found[1] * limits.COSTS["WEBP"].memory > limits.MEMORY:
        raise OddImage(
            f"has {found[0]} x {found[1]} pixels, more than the limit of "
            f"{int(limits.MEMORY / limits.COSTS['WEBP'].memory):,} for WebP"
        )


def _size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return 1 + _number(data, 24, 3), 1 + _number(data, 27, 3)
    if kind == b"VP8 " and len(data) >= 30:
        return _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF
    if kind == b"VP8L" and len(data) >= 25:
        bits = _number(data, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
