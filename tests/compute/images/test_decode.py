"""Decode the images of shards: each gives pixels or an error of one line."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from hpc_xfer.compute.images import crops, decode, jpeg_header
from hpc_xfer.compute.shard_tools.reencode import Reencoding, keep_file
from hpc_xfer.config.recipes import Crop
from hpc_xfer.errors import DataError


def encoded(image: Image.Image, file_format: str = "jpeg", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def photo(width: int = 100, height: int = 60) -> Image.Image:
    """A smooth image, which JPEG hardly changes."""
    y, x = np.mgrid[:height, :width]
    planes = [
        128 + 100 * np.sin(x / 47),
        128 + 100 * np.cos(y / 43),
        128 + 90 * np.sin((x + y) / 89),
    ]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def sides(data: bytes) -> tuple[int, int] | None:
    header = decode.upright_jpeg(data)
    return None if header is None else (header.height, header.width)


def sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return exif


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kB that claims many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (photo(), {"quality": 90}),
        (photo(), {"quality": 90, "progressive": True}),
        (photo().convert("L"), {}),
        (photo().convert("CMYK"), {}),
        (photo(101, 63), {"subsampling": "4:2:0"}),
    ],
    ids=["baseline", "progressive", "gray", "cmyk", "odd sides"],
)
def test_jpegs_are_decoded_as_by_pillow(image: Image.Image, options: dict[str, Any]) -> None:
    data = encoded(image, **options)
    ours = decode.decode(data).float()
    theirs = torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB")))
    assert ours.shape == (3, image.height, image.width)
    assert (ours - theirs.permute(2, 0, 1).float()).abs().mean() < 1.5


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 6), (level, 0, 0)) for level in (200, 50)]
    data = encoded(frames[0], "webp", save_all=True, append_images=frames[1:], lossless=True)
    assert decode.decode(data)[0].unique().tolist() == [200]


def test_a_jpeg_taken_sideways_is_turned_upright_and_never_decoded_in_part() -> None:
    data = encoded(photo(), exif=sideways())
    assert decode.decode(data).shape == (3, 100, 60)
    assert decode.upright_jpeg(data) is None


def noted(orientation: object, order: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "A maker of cameras"
    if orientation is not None:
        exif[0x0112] = orientation
    return encoded(photo(), exif=exif)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_upright_jpegs_with_exif_data_can_be_decoded_in_part(
    orientation: int | None, order: str
) -> None:
    """Those that must be rotated are decoded whole by Pillow."""
    data = noted(orientation, order)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image)
    assert decode.decode(data).shape == (3, expected.height, expected.width)
    turned = decode.decode(data).float()
    assert (turned - torch.from_numpy(np.array(expected)).permute(2, 0, 1)).abs().mean() < 1.5
    assert sides(data) == ((60, 100) if orientation in (None, 1) else None)


@pytest.mark.parametrize(("orientation", "shape"), [(6, (3, 100, 60)), (1, (3, 60, 100))])
def test_an_orientation_in_xmp_data_is_applied(
    orientation: int, shape: tuple[int, int, int]
) -> None:
    xmp = f'<rdf:Description tiff:Orientation="{orientation}"/>'.encode()
    assert decode.decode(encoded(photo(), xmp=xmp)).shape == shape


@pytest.mark.parametrize("cut", [8, 12, 14, 20, 26])
def test_jpegs_with_damaged_exif_data_are_decoded_by_pillow(cut: int) -> None:
    data = noted(6)
    start = data.index(b"Exif")
    note = data[start : start + cut]
    head = b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note
    assert decode.decode(b"\xff\xd8" + head + encoded(photo())[2:]).shape == (3, 60, 100)


@pytest.mark.parametrize(
    "data", [bomb(20_000, 20_000), encoded(photo())[:400], b"", b"\xff\xd8\xff"]
)
def test_a_file_that_is_not_an_image_gives_an_error_of_one_line(data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        decode.decode(data, "a/7.jpg")
    assert str(caught.value).startswith("a/7.jpg: ") and "\n" not in str(caught.value)


def changed(data: bytes, at: int, to: bytes) -> bytes:
    return data[:at] + to + data[at + len(to) :]


AVIF = encoded(photo(), "avif")
DAMAGED = {  # what Pillow 12 raises of it
    "RuntimeError": changed(AVIF, len(AVIF) - 40, bytes(40)),
    "NotImplementedError": changed(encoded(photo().convert("P"), "blp"), 4, b"\x7f"),
    "AttributeError": changed(encoded(photo().convert("F"), "spider"), 104, struct.pack("f", 2)),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_any_error_of_pillow_becomes_an_error_of_one_line(data: bytes) -> None:
    for reads in (decode.decode, keep_file, Reencoding(16).apply):
        with pytest.raises(DataError) as caught:
            reads(data, "a/7.jpg")
        assert str(caught.value).startswith("a/7.jpg: ") and "\n" not in str(caught.value)


def test_eps_files_are_not_run() -> None:
    """EPS is a program; Pillow would let Ghostscript run it."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"
    with pytest.raises(DataError, match="is not an image"):
        decode.decode(eps)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_images_of_twenty_megapixels_are_decoded(options: dict[str, Any]) -> None:
    data = encoded(Image.new("RGB", (5000, 4000), (200, 0, 0)), **options)
    assert sides(data) == (4000, 5000)
    assert decode.decode(data, shrink=8).shape == (3, 500, 625)
    assert decode.decode(encoded(Image.new("1", (5000, 4000)), "png")).shape == (3, 4000, 5000)


def test_a_jpeg_that_claims_too_many_pixels_is_not_decoded() -> None:
    data = bytearray(encoded(photo()))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 30_000, 30_000)
    with pytest.raises(DataError, match="has 30000 x 30000 pixels"):
        decode.decode(bytes(data))


def test_the_size_of_a_jpeg_is_known_without_decoding() -> None:
    assert sides(encoded(photo(123, 45))) == (45, 123)
    assert jpeg_header.read(encoded(photo(), "png")) is None


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_jpeg_decoded_in_part_is_the_same_image_in_small(shrink: int) -> None:
    data = encoded(photo(400, 304), quality=95)
    small, whole = decode.decode(data, shrink=shrink), decode.decode(data)
    assert small.shape == (3, 304 // shrink, 400 // shrink)
    expected = crops.resize(whole, *small.shape[1:])
    assert (small.float() - expected.float()).abs().mean() < 2


def test_odd_sides_are_rounded_up() -> None:
    assert decode.decode(encoded(photo(403, 301)), shrink=8).shape == (3, 38, 51)


def test_a_view_of_a_part_is_close_to_that_of_the_whole() -> None:
    data = encoded(photo(1024, 800), quality=95)
    rng = np.random.default_rng(0)
    view = crops.draw_view(rng, 800, 1024, Crop(scale=(0.9, 1.0)), flip=True)
    shrink = crops.shrinkage([view], 160)
    assert shrink == 4
    part = crops.crop_view(decode.decode(data, shrink=shrink), view, 160, shrink)
    whole = crops.crop_view(decode.decode(data), view, 160)
    assert (part.float() - whole.float()).abs().mean() < 3  # corners are whole pixels of the part


def test_a_view_is_never_enlarged_from_a_shrunk_image() -> None:
    near = crops.View((0, 0, 320, 320), flipped=False)
    far = crops.View((0, 0, 900, 1000), flipped=False)
    assert [crops.shrinkage(views, 224) for views in ([far], [near], [far, near])] == [4, 1, 1]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (encoded(Image.fromarray(np.full((4, 4), 200, np.int32)), "tiff"), "signed"),
        (encoded(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "tiff"), "floating-point"),
    ],
)
def test_pixels_of_unknown_range_are_refused_and_never_black(data: bytes, what: str) -> None:
    for reads in (decode.decode, keep_file, Reencoding(2).apply):
        with pytest.raises(DataError) as refused:
            reads(data, "a.tif")
        assert str(refused.value) == (
            f"a.tif: holds {what} pixels, whose range is unknown; convert it to 8 bits"
        )


def raw_tiff(bits: int, photometric: int, sample_format: int, pixels: bytes) -> bytes:
    """A little-endian TIFF of 2 x 2 gray pixels in one strip."""
    entries = [
        (256, 3, 2), (257, 3, 2), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8 + 2 + 10 * 12 + 4), (277, 3, 1), (278, 3, 2), (279, 4, len(pixels)),
        (339, 3, sample_format),
    ]  # fmt: skip
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4) + pixels


@pytest.mark.parametrize(
    ("bits", "photometric", "pixels", "gray"),
    [
        (16, 1, struct.pack("<4H", 0, 65535, 65535, 32768), [0, 255, 255, 128]),
        (16, 0, struct.pack("<4H", 0, 65535, 65535, 32768), [255, 0, 0, 127]),  # 0 is white
        (12, 1, bytes.fromhex("000fff" "fff800"), [0, 255, 255, 128]),
        (8, 1, bytes([0, 255, 255, 128]), [0, 255, 255, 128]),
        (1, 1, bytes([0b01000000, 0b11000000]), [0, 255, 255, 255]),
    ],
)  # fmt: skip
def test_gray_of_any_depth_keeps_its_white(
    bits: int, photometric: int, pixels: bytes, gray: list[int]
) -> None:
    assert decode.decode(raw_tiff(bits, photometric, 1, pixels))[0].flatten().tolist() == gray


@pytest.mark.parametrize(("bits", "sample_format"), [(8, 2), (16, 2), (32, 1), (32, 2)])
def test_signed_and_32_bit_numbers_are_refused(bits: int, sample_format: int) -> None:
    data = raw_tiff(bits, 1, sample_format, bytes(bits // 2))
    with pytest.raises(DataError, match="whose range is unknown; convert it to 8 bits"):
        decode.decode(data)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_a_tiff_of_any_color_mode_is_decoded(mode: str) -> None:
    image = photo().convert("RGB" if mode == "LAB" else mode)
    if mode == "LAB":
        image = Image.merge("LAB", image.split())
    assert decode.decode(encoded(image, "tiff")).shape == (3, 60, 100)
