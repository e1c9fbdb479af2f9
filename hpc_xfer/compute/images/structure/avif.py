"""AVIF: find the streams of all items, and add up the pixels that they really have.

A file of a kB may say 100 x 100 and hold a stream of 16,000 x 16,000, a grid of many such streams,
or a stream of many frames that are not shown.
"""

import struct
from collections.abc import Iterator

from hpc_xfer.compute.images import limits
from hpc_xfer.compute.images.structure import av1
from hpc_xfer.compute.images.structure.boxes import BoxPlace, boxes, inside
from hpc_xfer.compute.images.structure.odd_image import OddImage

_MOST_ITEMS = 1_000  # with their extents
_MOST_FRAMES = 100_000  # of an animation, for each of which memory is taken
_STREAM = b"av01"
_TABLES = (b"trak", b"mdia", b"minf", b"stbl")
_SAMPLES = (b"stsz", b"stts", b"stsc", b"stco", b"co64", b"stss", b"ctts")


def check(data: bytes) -> None:
    try:
        streams = [stream for box in boxes(data, 0, len(data)) for stream in _streams(data, box)]
    except (struct.error, IndexError):
        return  # cut off: the decoder says so
    most = min(limits.MEMORY / limits.COSTS["AVIF"].memory, 1e9 / limits.COSTS["AVIF"].time)
    areas = [av1.pixels(stream) for stream in streams]
    # An image and its alpha are two streams.
    if max(areas, default=0) > most or sum(areas) > 2 * most:
        raise OddImage(
            f"has streams of {sum(areas):,} pixels, more than the limit of {int(most):,} for AVIF"
        )


def _streams(data: bytes, box: BoxPlace) -> Iterator[bytes]:
    if box.kind == b"meta":
        yield from _items(data, box)
    elif box.kind == b"moov":
        for table in inside(data, box, *_TABLES):
            yield from _first_frame(data, table)


def _items(data: bytes, meta: BoxPlace) -> Iterator[bytes]:
    """Yield the stream of each item of the type of streams."""
    parts = {each.kind: each for each in boxes(data, meta.start + 4, meta.end)}
    if b"iloc" not in parts:
        return
    total = 0
    types = _types(data, parts[b"iinf"]) if b"iinf" in parts else {}
    inner = parts.get(b"idat", BoxPlace(b"", 0, 0))
    for number, where, extents in _locations(data, parts[b"iloc"].start):
        if types.get(number) != _STREAM:
            continue
        total += sum(length or len(data) for _, length in extents)
        if total > 2 * len(data):
            raise OddImage("has items that share their data")
        source = data[inner.start : inner.end] if where == 1 else data
        yield b"".join(
            source[at : at + length] if length else source[at:] for at, length in extents
        )


def _types(data: bytes, box: BoxPlace) -> dict[int, bytes]:
    """Types of items by number."""
    found = {}
    for each in boxes(data, box.start + (8 if data[box.start] else 6), box.end):
        size = 4 if data[each.start] > 2 else 2
        number = int.from_bytes(data[each.start + 4 : each.start + 4 + size], "big")
        found[number] = data[each.start + 6 + size : each.start + 10 + size]
    return found


def _locations(data: bytes, at: int) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield number, kind of place, and extents (offset, length) of each item."""

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(data):
            raise struct.error
        return int.from_bytes(data[at - size : at], "big")

    version, _ = number(1), number(3)
    sizes, more = number(1), number(1)
    wide = 4 if version == 2 else 2
    read = 0
    for _ in range(number(wide)):
        item = number(wide)
        where = number(2) & 15 if version else 0
        number(2)
        base = number(more >> 4)
        extents = []
        for _ in range(number(2)):
            read += 1
            if read > _MOST_ITEMS:
                raise OddImage(f"has more than {_MOST_ITEMS:,} items")
            number(more & 15 if version else 0)
            extents.append((base + number(sizes >> 4), number(sizes & 15)))
        yield item, where, extents


def _first_frame(data: bytes, table: BoxPlace) -> Iterator[bytes]:
    """Yield the first frame of an animation, the only one that is decoded."""
    parts = {each.kind: each.start for each in boxes(data, table.start, table.end)}
    for kind in _SAMPLES:
        if kind in parts:
            count_at = parts[kind] + (8 if kind == b"stsz" else 4)
            if struct.unpack_from(">I", data, count_at)[0] > _MOST_FRAMES:
                raise OddImage(f"has more than {_MOST_FRAMES:,} frames")
    if b"stsz" not in parts:
        return
    same, _, first = struct.unpack_from(">III", data, parts[b"stsz"] + 4)
    for kind, form in ((b"stco", ">I"), (b"co64", ">Q")):
        if kind in parts:
            (at,) = struct.unpack_from(form, data, parts[kind] + 8)
            yield data[at : at + (same or first)]
