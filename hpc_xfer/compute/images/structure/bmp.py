"""BMP: Pillow decodes run lengths in Python, a microsecond for each."""

import struct

from hpc_xfer.compute.images.structure.odd_image import OddImage

_RUN_LENGTHS = (1, 2)
_MOST = 1 << 19  # bytes of run lengths


def check(data: bytes) -> None:
    try:
        (compression,) = struct.unpack_from("<I", data, 30)
    except struct.error:
        return
    if compression in _RUN_LENGTHS and len(data) > _MOST:
        raise OddImage(f"has run lengths of more than {_MOST >> 10} kB")
