"""Damaged images and headers give pixels or a DataError, and nothing else."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hpc_xfer.compute.images import jpeg_header, structure
from hpc_xfer.compute.images.decode import decode_array
from hpc_xfer.compute.images.structure import gif
from hpc_xfer.compute.images.structure.odd_image import OddImage
from hpc_xfer.compute.shard_tools.reencode import Reencoding, keep_file
from hpc_xfer.errors import DataError
from tests.security.hostile_images import encoded

PIXELS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
SMALL = {
    "jpeg": encoded(PIXELS, "jpeg"),
    "progressive": encoded(PIXELS, "jpeg", progressive=True),
    "png": encoded(PIXELS, "png"),
    "palette": encoded(PIXELS.convert("P"), "png"),
    "webp": encoded(PIXELS, "webp"),
    "gif": encoded(PIXELS.convert("P"), "gif"),
    "bmp": encoded(PIXELS, "bmp"),
    "tiff": encoded(PIXELS, "tiff", compression="tiff_lzw"),
    "tiff of jpeg": encoded(PIXELS, "tiff", compression="jpeg"),
    "ppm": encoded(PIXELS, "ppm"),
    "avif": encoded(PIXELS, "avif"),
    "jpeg2000": encoded(PIXELS, "jpeg2000"),
}
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with some of them changed, most of them in the headers, and perhaps cut."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        last = len(out) - 1
        at = draw(st.integers(0, min(last, 120)) | st.integers(0, last))
        out[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    return bytes(out[: draw(st.integers(0, len(out)))]) if draw(st.booleans()) else bytes(out)


@pytest.mark.parametrize("kind", SMALL)
@QUICK
@given(data=st.data())
def test_a_damaged_image_gives_pixels_or_a_data_error(kind: str, data: st.DataObject) -> None:
    image = data.draw(damaged(SMALL[kind]))
    for call in (decode_array, keep_file, Reencoding(8).apply):
        try:
            call(image, "image")
        except DataError as error:
            assert "\n" not in str(error)


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from(
        [data[:length] for data in SMALL.values() for length in (4, 12, 40, 200)]
    ),
    rest=st.binary(max_size=400),
)
def test_any_bytes_have_a_format_or_are_odd(start: bytes, rest: bytes) -> None:
    for data in (start + rest, rest):
        jpeg_header.read(data)
        gif.is_animated(data)
        try:
            structure.check(data)
        except OddImage as odd:
            assert str(odd).startswith(("has ", "is "))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=2000))
def test_scans_are_counted_as_bytes_count(data: bytes) -> None:
    assert jpeg_header.count_scans(data) == data.count(b"\xff\xda")
