"""Limits of one sample: none takes more than a second or 300 MB, whatever its file holds.

A file of a few kB may ask for gigabytes or minutes. What an image will cost is told by its header,
so it is refused before it is decoded. Times are of one core of 3 GHz, for photographs of high
quality; memory is the peak, with the file itself.
"""

from dataclasses import dataclass

from hpc_xfer.errors import DataError

MEMORY = 290_000_000  # bytes of one image; 300 MB less what the decoders need besides
SECONDS = 0.9
# Of any format; nearly all images on the web are below 10 MB, the largest of cameras below 50.
FILE = 64 << 20
# Pillow's own limit of pixels, and a quarter of a GB of RGB.
PIXELS = 89_478_485
SIDE = 65_535  # pixels; JPEG has no more, and each row has its cost

JSON = 8 << 20  # bytes of the json of a sample; those of img2dataset have 2 kB, with faces 100
TEXT = 1 << 20  # bytes of a caption, a class or any other text: a thousand pages


@dataclass(frozen=True)
class Cost:
    """Cost of decoding an image to RGB, per pixel: bytes at the peak, and nanoseconds."""

    memory: float
    time: float


# By Pillow's name of a format, measured with 16 million pixels. Pillow holds an image in 4 bytes a
# pixel, our array takes 3; what is more is the library's: WebP has two canvases and a copy.
COSTS = {
    "AVIF": Cost(20, 60),
    "BMP": Cost(7, 12),
    "GIF": Cost(7, 20),
    "JPEG2000": Cost(30, 250),
    "PPM": Cost(10, 12),
    "TIFF": Cost(12, 27),
    "WEBP": Cost(17, 36),
}
FORMATS = ("JPEG", "PNG", *COSTS)  # all that are opened; MPO is a JPEG with a second one inside


def png(bits: int) -> Cost:
    """Cost of a PNG, most of which is inflating `bits` per pixel."""
    return Cost(7, 8 + 9.5 * bits / 8)


def jpeg(scans: int, samples: float) -> Cost:
    """Cost of a JPEG decoded by libjpeg-turbo.

    Each scan goes over the coefficients of the whole image again, which have to be kept: 2 bytes
    each. Cameras and encoders write one scan or about ten.

    Args:
        scans: 1 if it is decoded row by row.
        samples: coefficients per pixel: 3, or 1.5 with halved colors.
    """
    if scans <= 1:
        return Cost(3, 9.5)
    return Cost(3 + 2 * samples, 9.5 + 0.85 * scans * samples)


def jpeg_by_pillow(scans: int, samples: float) -> Cost:
    """Cost of a JPEG decoded by Pillow, which has an image of its own."""
    cost = jpeg(scans, samples)
    turned = 9.5 if samples >= 4 else 5.5  # four colors are copied once more
    return Cost(cost.memory + turned, cost.time + 15)


def jpeg_in_part(scans: int, samples: float) -> Cost:
    """Cost of a JPEG decoded at 1/8 of its sides: all bytes are read, and scans are kept whole."""
    cost = jpeg(scans, samples)
    return Cost(cost.memory - 2, cost.time)


def twice(cost: Cost) -> Cost:
    """Cost of decoding after another decoder has failed, at the very end perhaps."""
    return Cost(cost.memory, 2 * cost.time)


def check_file(size: int, name: str) -> None:
    """Refuse an image file before it is read.

    Raises:
        DataError: it is too large.
    """
    if size > FILE:
        raise DataError(
            f"{name}: has {size:,} bytes, more than the {FILE:,} that an image may have; make it "
            "smaller or remove it"
        )


def check(width: int, height: int, cost: Cost, size: int, name: str) -> None:
    """Refuse an image before it is decoded, if it would take too much.

    Args:
        size: bytes of the file.

    Raises:
        DataError: it has too many pixels for its format, and so on.
    """
    pixels = width * height
    memory, seconds = size + pixels * cost.memory, pixels * cost.time / 1e9
    if pixels <= PIXELS and memory <= MEMORY and seconds <= SECONDS and max(width, height) <= SIDE:
        return
    most = min(PIXELS, (MEMORY - size) / cost.memory, 1e9 * SECONDS / cost.time)
    limit = f"the limit of {max(0, int(most)):,}" if pixels > most else f"{SIDE:,} on a side"
    raise DataError(
        f"{name}: has {width} x {height} pixels, more than {limit} for a file like this, which "
        f"keeps it below 300 MB and a second; make it smaller, save it as a plain JPEG, replace "
        "or remove it"
    )
