"""Tell the format of an image, and check its structure before a decoder sees it.

    found = structure.check(data)      # raises OddImage

Decoders take the parts of a file one by one: millions of empty parts take minutes, and some sizes
are told in two places. Each check reads a few headers, in microseconds for an ordinary file.
"""

from collections.abc import Callable

from hpc_xfer.compute.images.structure import avif, bmp, gif, jpeg2000, png, ppm, tiff, webp
from hpc_xfer.compute.images.structure.odd_image import OddImage

_CHECKS: dict[str, Callable[[bytes], None]] = {
    "PNG": png.check,
    "GIF": gif.check,
    "BMP": bmp.check,
    "WEBP": webp.check,
    "TIFF": tiff.check,
    "PPM": ppm.check,
    "JPEG2000": jpeg2000.check,
    "AVIF": avif.check,
}
_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    *((b"P%d" % kind, "PPM") for kind in range(1, 7)),
)
# Formats that are not read, though Pillow reads some: shards do not have them.
_FOREIGN = (
    (b"8BPS", "PSD"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"\0\0\1\0", "ICO"),
    (b"icns", "ICNS"),
    (b"SIMPLE  =", "FITS"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
)
_AVIF = (b"avif", b"avis", b"mif1", b"msf1")  # brands


def format_of(data: bytes) -> str | None:
    """Pillow's name of the format; None for one that is not read."""
    for start, name in _STARTS:
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return "AVIF" if data[4:8] == b"ftyp" and data[8:12] in _AVIF else None


def check(data: bytes) -> str:
    """Return the format of an image that is fit to be opened.

    Raises:
        OddImage: it is of another format, or a decoder would take too long or too much memory.
    """
    found = format_of(data)
    if found is None:
        kind = next((name for start, name in _FOREIGN if data.startswith(start)), None)
        raise OddImage(
            "is not an image" if kind is None else f"is not an image that is read, but {kind}"
        )
    if found in _CHECKS:
        _CHECKS[found](data)
    return found
