"""PPM: Pillow reads the header byte by byte, and numbers one by one in some of its forms."""

import re

from hpc_xfer.compute.images.structure.odd_image import OddImage

_HEADER = 1_024  # bytes; without comments it has 20
_TOKENS = {b"1": 2, b"2": 3, b"3": 3, b"4": 2, b"5": 3, b"6": 3}  # numbers in the header, by kind
_MOST_TEXT = 1 << 20  # bytes of pixels as text: half a second
_MOST_COMMENTS = 100
# Values of white that are read at once; Pillow turns others into 255 one by one.
_WHITE = {b"5": (b"255", b"65535"), b"6": (b"255",)}


def check(data: bytes) -> None:
    kind, head = data[1:2], data[2:_HEADER]
    numbers = re.sub(rb"#[^\r\n]*(?:[\r\n]|$)", b" ", head).split()
    if len(data) > _HEADER and len(numbers) < _TOKENS[kind]:
        raise OddImage(f"has a header of more than {_HEADER:,} bytes")
    if kind in (b"1", b"2", b"3") and (len(data) > _MOST_TEXT or data.count(b"#") > _MOST_COMMENTS):
        raise OddImage(f"has more than {_MOST_TEXT >> 20} MB of pixels as text, or many comments")
    if kind in _WHITE and len(numbers) > 2 and len(data) > _MOST_TEXT:
        white = numbers[2].lstrip(b"0")
        if white not in _WHITE[kind]:
            raise OddImage(f"has more than {_MOST_TEXT >> 20} MB of pixels whose white is not 255")
