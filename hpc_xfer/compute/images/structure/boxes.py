"""Go through the boxes of AVIF and JPEG 2000 files. Pillow takes a microsecond for each."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hpc_xfer.compute.images.structure.odd_image import OddImage

_MOST = 1_000  # boxes in one place; encoders write about ten


class BoxPlace(NamedTuple):
    """The place of what a box holds."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int, end: int) -> Iterator[BoxPlace]:
    """Yield the boxes between two offsets; one that is cut off ends there.

    Raises:
        OddImage: they are too many.
    """
    at = start
    for _ in range(_MOST):
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        after = end if length == 0 else min(end, at + max(length, head))
        yield BoxPlace(kind, min(at + head, end), after)
        at = after
    raise OddImage(f"has more than {_MOST:,} boxes")


def inside(data: bytes, box: BoxPlace, *path: bytes) -> Iterator[BoxPlace]:
    """Yield all boxes of this path below a box."""
    for each in boxes(data, box.start, box.end):
        if each.kind == path[0]:
            if len(path) == 1:
                yield each
            else:
                yield from inside(data, each, *path[1:])
