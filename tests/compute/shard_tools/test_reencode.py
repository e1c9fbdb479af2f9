"""The bytes of images in shards: unchanged, or re-encoded smaller."""

import numpy as np
import pytest
from PIL import Image

from hpc_xfer.compute.shard_tools.reencode import Reencoding, keep_file
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import decoded, encoded, noise
from tests.tars import png


def test_the_content_of_a_file_decides_its_field_not_its_name() -> None:
    assert keep_file(png(), "a.jpg") == ("png", png())
    photo = encoded(noise(8, 8))
    assert keep_file(photo, "a.png") == ("jpg", photo)
    web = encoded(noise(8, 8), "webp")
    assert keep_file(web, "a.webp") == ("webp", web)


def test_the_first_frame_of_an_animation_is_kept() -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    for file_format in ("webp", "png", "gif"):
        animated = encoded(first, file_format, save_all=True, append_images=[second], lossless=True)
        field, data = keep_file(animated, "a")
        assert field == "png" and not getattr(decoded(data), "is_animated", False)
        assert decoded(data).getpixel((0, 0)) == (255, 0, 0)


def test_large_images_shrink_to_the_short_side_and_small_ones_stay_unchanged() -> None:
    small = Reencoding(short_side=48, quality=80)
    assert decoded(small.apply(encoded(noise(200, 100)), "a")[1]).size == (96, 48)
    assert decoded(small.apply(encoded(noise(100, 900), "png"), "a")[1]).size == (48, 432)
    photo = encoded(noise(48, 70))
    assert small.apply(photo, "a") == ("jpg", photo)
    field, data = small.apply(encoded(noise(20, 30), "png"), "a")
    assert (field, decoded(data).size) == ("jpg", (20, 30))


def test_the_quality_alone_encodes_at_full_size() -> None:
    field, data = Reencoding(quality=30).apply(encoded(noise(64, 64), "png"), "a")
    assert (field, decoded(data).size) == ("jpg", (64, 64))
    assert len(data) < len(Reencoding(quality=95).apply(encoded(noise(64, 64), "png"), "a")[1])


def test_a_photo_is_rotated_as_its_exif_data_say() -> None:
    half = Image.new("RGB", (40, 20))
    half.paste((255, 255, 255), (0, 0, 20, 20))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise: left becomes top
    rotated = decoded(Reencoding(short_side=10).apply(encoded(half, exif=exif), "a")[1])
    assert rotated.size == (10, 20) and not rotated.getexif()
    assert rotated.getpixel((5, 2))[0] > 200 > 50 > rotated.getpixel((5, 17))[0]  # type: ignore[index]
    small = decoded(Reencoding(short_side=99).apply(encoded(half, exif=exif), "a")[1])
    assert small.size == (20, 40)


def gray16() -> bytes:
    return encoded(Image.fromarray(np.full((30, 30), 30_000, np.uint16)), "png")


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (encoded(noise(30, 30).convert("L")), "L"),
        (encoded(noise(30, 30).convert("CMYK")), "RGB"),
        (encoded(noise(30, 30).convert("P"), "png"), "RGB"),
        (encoded(noise(30, 30).convert("RGBA"), "webp"), "RGB"),
        (gray16(), "RGB"),
    ],
    ids=["gray", "CMYK", "palette", "alpha", "16 bits"],
)
def test_unusual_pixels_become_rgb_or_gray(data: bytes, mode: str) -> None:
    field, small = Reencoding(short_side=16).apply(data, "a")
    assert (field, decoded(small).mode, decoded(small).size) == ("jpg", mode, (16, 16))


def test_sixteen_bits_become_eight_and_not_white() -> None:
    assert 110 < np.asarray(decoded(Reencoding(16).apply(gray16(), "a")[1])).mean() < 125


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "png")
    assert len(bomb) < 60_000  # 1.2 GB as RGB
    for read in (keep_file, Reencoding(64).apply):
        with pytest.raises(DataError, match=r"bomb: cannot be decoded .*decompression bomb"):
            read(bomb, "bomb")
