"""GIF: find the first two frames. Pillow joins the parts of a comment in quadratic time."""

from hpc_xfer.compute.images.structure.odd_image import OddImage

_MOST = 4_096  # parts of 255 bytes before the first frame
_MOST_PARTS = 1 << 20  # in all that is looked at for a second frame
_EXTENSION, _FRAME = 0x21, 0x2C


def check(data: bytes) -> None:
    try:
        _, parts = _next_frame(data, _after_palette(data, 10, 13), _MOST)
    except IndexError:
        return  # cut off: the decoder says so
    if parts > _MOST:
        raise OddImage(f"has more than {_MOST:,} parts before its first frame")


def is_animated(data: bytes) -> bool:
    """Tell whether there is a second frame. Pillow would decode for it."""
    try:
        at, parts = _next_frame(data, _after_palette(data, 10, 13), _MOST)
        at = _after_palette(data, at + 9, at + 10) + 1  # a byte for the decoder of the pixels
        at, parts = _after_parts(data, at, 0, _MOST_PARTS)
        at, parts = _next_frame(data, at, _MOST_PARTS - parts)
    except IndexError:
        return False
    return True


def _after_palette(data: bytes, flags_at: int, at: int) -> int:
    flags = data[flags_at]
    return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _next_frame(data: bytes, at: int, most: int) -> tuple[int, int]:
    """Offset of the next frame, and the parts that are passed on the way.

    Raises:
        IndexError: there is none.
    """
    parts = 0
    while (kind := data[at]) != _FRAME and parts <= most:
        if kind != _EXTENSION:
            at, parts = at + 1, parts + 1
            continue
        at, parts = _after_parts(data, at + 2, parts, most)
    return at, parts


def _after_parts(data: bytes, at: int, parts: int, most: int) -> tuple[int, int]:
    while (length := data[at]) and parts <= most:
        at, parts = at + 1 + length, parts + 1
    return at + 1, parts + 1
