"""AV1, the stream inside an AVIF: add up the pixels of all frames of an item.

The box around a stream tells a size too, which decoders compare when they have decoded it.
"""

from hpc_xfer.compute.images.structure.odd_image import OddImage

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6  # types of units
_MOST_UNITS = 10_000


class _Bits:
    """Reads numbers of some bits; zeros follow the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            return 0
        return self._value >> self._left & ((1 << bits) - 1)

    def skip_exponential(self) -> None:
        zeros = 0
        while zeros < 32 and not self.read(1):
            zeros += 1
        self.read(zeros)


def pixels(data: bytes) -> int:
    """Pixels of all frames, shown or not, of the largest size that the stream allows.

    Raises:
        OddImage: it has too many parts.
    """
    at, area, frames = 0, 0, 0
    for _ in range(_MOST_UNITS):
        if at >= len(data):
            return area * max(frames, 1)
        head = data[at]
        kind, at = head >> 3 & 15, at + (2 if head & 4 else 1)
        size = len(data) - at
        if head & 2:
            size, at = _variable_length(data, at)
        if kind == _SEQUENCE:
            area = max(area, _area(data[at : at + min(size, 256)]))
        frames += kind in (_FRAME_HEADER, _FRAME)
        at += size
    raise OddImage(f"has a stream of more than {_MOST_UNITS:,} parts")


def _variable_length(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * i
        if not byte & 0x80:
            return value, at + i + 1
    return len(data), at


def _area(header: bytes) -> int:
    """Largest area of a frame, which a sequence header tells behind fields of many widths."""
    bits = _Bits(header)
    bits.read(4)
    if bits.read(1):  # reduced, of a still picture
        bits.read(5)
    else:
        _skip_timing(bits)
    across, down = bits.read(4) + 1, bits.read(4) + 1
    return (bits.read(across) + 1) * (bits.read(down) + 1)


def _skip_timing(bits: _Bits) -> None:
    delay = 0  # bits of one, if there is a model of a decoder
    if bits.read(1):
        bits.read(64)
        if bits.read(1):
            bits.skip_exponential()
        if bits.read(1):
            delay = bits.read(5) + 1
            bits.read(42)
    has_display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):  # operating points
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay and bits.read(1):
            bits.read(2 * delay + 1)
        if has_display_delay and bits.read(1):
            bits.read(4)
