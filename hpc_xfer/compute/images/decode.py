"""Decode image files to pixels, in the same way for pre-training and downstream data.

JPEGs are decoded by libjpeg-turbo (simplejpeg), other files by Pillow. A JPEG that will become much
smaller is decoded in part: the lowest frequencies of each block give 1/2, 1/4 or 1/8 of the sides.

Files come from the web, so formats, structure and size are checked first; see limits.py.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from hpc_xfer.compute.images import jpeg_header, limits, structure
from hpc_xfer.compute.images.jpeg_header import Header
from hpc_xfer.compute.images.limits import Cost
from hpc_xfer.compute.images.structure import png, tiff
from hpc_xfer.compute.images.structure.odd_image import OddImage
from hpc_xfer.errors import DataError

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of a TIFF
_SIGNED = 2  # a sample format
_16_BIT = ("PNG", "PPM")  # formats whose mode "I" is scaled to 16 bits
_ORIENTATION = 0x0112  # EXIF
_ROWS = 1 << 20  # pixels that are converted at a time
_METADATA = 8 << 20  # bytes before the image in a JPEG: Pillow joins them in quadratic time
_ODD_JPEG = 2 << 20  # bytes of a JPEG that is not understood here: Pillow takes 0.2 us for each


@contextmanager
def pillow_errors_as_data_error(name: str) -> Iterator[None]:
    """Turn any error of Pillow into a DataError about `name`; the block calls only Pillow.

    Any error, because damaged files raise RuntimeError (AVIF), NotImplementedError (BLP),
    AttributeError (SPIDER) and others. One such image in a web-scale source would end the run.

    Raises:
        DataError: Pillow cannot read or decode the image.
    """
    try:
        with warnings.catch_warnings():
            # Damaged EXIF data and unusual palettes give one warning each, in millions of files.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (DataError, MemoryError):  # clear already; a problem of the node, not of the image
        raise
    except UnidentifiedImageError as error:  # its message contains a memory address
        raise DataError(f"{name}: is not an image; replace or remove it") from error
    except Exception as error:  # any error of Pillow on a damaged file
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: cannot be decoded ({why}); replace or remove it") from error


def decode(
    data: bytes, name: str = "image", shrink: int = 1, header: Header | None = None
) -> Tensor:
    """Decode an image to uint8 (3, height, width) in RGB, upright, channels last in memory.

    Gray and palette images get three channels, alpha is dropped, 16 bits become 8. An animation
    gives its first frame.

    Args:
        name: of the image, for errors.
        shrink: 1, 2, 4 or 8, by which both sides are divided, rounding up.
        header: of `upright_jpeg`, if it was read already.

    Raises:
        DataError: not an image, truncated, too many pixels, or pixels whose range is unknown.
    """
    return torch.from_numpy(decode_array(data, name, shrink, header)).permute(2, 0, 1)


def upright_jpeg(data: bytes) -> Header | None:
    """Read the header of an upright JPEG, which can be decoded in part; None for other images."""
    header = jpeg_header.read(data)
    return None if header is None or not header.plain or header.rotated else header


def decode_array(
    data: bytes, name: str = "image", shrink: int = 1, header: Header | None = None
) -> NDArray[np.uint8]:
    """Decode as `decode` does, to a numpy array (height, width, 3)."""
    limits.check_file(len(data), name)
    header = header or upright_jpeg(data)
    if header is None:
        return _shrunk(_by_pillow(data, name), shrink)
    cost = limits.jpeg(header.scans, header.samples)
    limits.check(header.width, header.height, cost, len(data), name)
    try:
        return _jpeg(data, header, shrink)
    except ValueError:  # Pillow accepts more, or says what is wrong
        return _shrunk(_by_pillow(data, name, again=True), shrink)


def _jpeg(data: bytes, header: Header, shrink: int) -> NDArray[np.uint8]:
    """Decode a JPEG with libjpeg-turbo.

    Raises:
        ValueError: it is damaged.
    """
    height, width = -(-header.height // shrink), -(-header.width // shrink)
    if shrink == 1:
        height = width = 0  # no minimum: with one, libjpeg-turbo would look for a scale
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, min_height=height, min_width=width)
    return pixels


def open_by_pillow(
    data: bytes, name: str, again: bool = False, in_part: bool = False
) -> Image.Image:
    """Read the header of an image and check what it would cost to decode it.

    Pillow opens dozens of formats, and lets Ghostscript run EPS as a program; here those that
    shards have are opened.

    Args:
        again: another decoder has failed.
        in_part: if it is a JPEG, the caller decodes a part, or calls `check_drafted`.

    Raises:
        DataError: it is of another format, or would take too much time or memory.
        Exception: of any class; see `pillow_errors_as_data_error`.
    """
    limits.check_file(len(data), name)
    try:
        found = structure.check(data)
    except OddImage as odd:
        raise DataError(f"{name}: {odd}; replace or remove it") from None
    header = jpeg_header.read(data) if found == "JPEG" else None
    if found == "JPEG":
        _check_jpeg(data, header, name)
    image = Image.open(io.BytesIO(data), formats=(found,))
    cost = _cost(data, found, header, in_part)
    limits.check(*image.size, limits.twice(cost) if again else cost, len(data), name)
    return image


@cache
def forget_other_formats() -> None:
    """Let Pillow open no other format, for torchvision's readers, which call it by themselves."""
    Image.init()
    for name in [each for each in Image.ID if each not in limits.FORMATS]:
        Image.ID.remove(name)


def _check_jpeg(data: bytes, header: Header | None, name: str) -> None:
    odd = header is None or header.first_scan > _METADATA
    if odd and len(data) > _ODD_JPEG:
        raise DataError(
            f"{name}: is a JPEG of {len(data):,} bytes whose first {_METADATA:,} hold no image, or "
            "whose header is odd; save it again, replace or remove it"
        )


def check_drafted(image: Image.Image, name: str) -> None:
    """Refuse a JPEG that would take too much memory at the size to which it was drafted."""
    if image.format in ("JPEG", "MPO"):
        limits.check(*image.size, limits.jpeg_by_pillow(1, len(image.getbands())), 0, name)


def _cost(data: bytes, found: str, header: Header | None, in_part: bool) -> Cost:
    if found == "PNG":
        return png.cost(data)
    if found != "JPEG":
        return limits.COSTS[found]
    jpeg = limits.jpeg_in_part if in_part else limits.jpeg_by_pillow
    if header is None:
        return jpeg(2 + jpeg_header.count_scans(data), 4)
    return jpeg(header.scans, header.samples)


def _by_pillow(data: bytes, name: str, again: bool = False) -> NDArray[np.uint8]:
    with pillow_errors_as_data_error(name):
        pixels, orientation = _loaded(data, name, again)
        return turned(pixels, orientation)


def _loaded(data: bytes, name: str, again: bool) -> tuple[NDArray[np.uint8], int]:
    """Decode with Pillow, some rows at a time into our array: 7 bytes a pixel instead of 10."""
    with open_by_pillow(data, name, again) as image:
        check_range(image, name)
        white = _white(image)
        image.load()
        width, height = image.size
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        step = max(1, _ROWS // width)
        for top in range(0, height, step):
            bottom = min(height, top + step)
            pixels[top:bottom] = np.asarray(_rgb(image.crop((0, top, width, bottom)), white))
        return pixels, orientation_of(image)


def _shrunk(pixels: NDArray[np.uint8], shrink: int) -> NDArray[np.uint8]:
    """Shrink by averaging blocks, for an image that could not be decoded in part."""
    if shrink == 1:
        return pixels
    height, width = -(-pixels.shape[0] // shrink), -(-pixels.shape[1] // shrink)
    image = Image.fromarray(pixels).reduce(shrink)
    assert image.size == (width, height)
    return np.array(image)


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation: 1 is upright. Damaged EXIF data says nothing."""
    try:
        with pillow_errors_as_data_error("EXIF"):
            exif = image.info.get("exif")
            if isinstance(exif, bytes):
                tiff.check_directory(exif.removeprefix(b"Exif\0\0"))
            found = image.getexif().get(_ORIENTATION, 1)
            return int(found) if found in range(2, 9) else 1
    except DataError:
        return 1


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn pixels upright, as ImageOps.exif_transpose does; Pillow would need a second image."""
    match orientation:
        case 2:
            pixels = pixels[:, ::-1]
        case 3:
            pixels = pixels[::-1, ::-1]
        case 4:
            pixels = pixels[::-1]
        case 5:
            pixels = pixels.swapaxes(0, 1)
        case 6:
            pixels = np.rot90(pixels, -1)
        case 7:
            pixels = np.rot90(pixels, 2).swapaxes(0, 1)
        case 8:
            pixels = np.rot90(pixels)
    return np.ascontiguousarray(pixels)


def check_range(image: Image.Image, name: str) -> None:
    """Refuse pixels of which nobody knows what white is: a guess would make them black.

    Raises:
        DataError: they are floating-point, signed or 32-bit numbers.
    """
    kinds = image.tag_v2.get(_SAMPLE_FORMAT, 1) if isinstance(image, TiffImageFile) else 1
    is_signed = _SIGNED in (kinds if isinstance(kinds, tuple) else (kinds,))
    what = "floating-point" if image.mode == "F" else "signed" if is_signed else "32-bit"
    if image.mode == "F" or is_signed or (image.mode == "I" and image.format not in _16_BIT):
        raise DataError(
            f"{name}: holds {what} pixels, whose range is unknown; convert it to 8 bits"
        )


def _white(image: Image.Image) -> int:
    """Return the value of white where a pixel has more than 8 bits; negative if 0 is white."""
    if not isinstance(image, TiffImageFile):
        return 65535
    bits = image.tag_v2.get(_BITS, 16)
    white: int = 2 ** int(max(bits) if isinstance(bits, tuple) else bits) - 1
    return -white if image.tag_v2.get(_PHOTOMETRIC) == 0 else white


def _rgb(image: Image.Image, white: int) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16 bits; convert() would clip all values above 255
        most = abs(white)
        gray = np.clip(np.asarray(image).astype(np.int64), 0, most)
        gray = gray if white > 0 else most - gray
        image = Image.fromarray(((gray * 255 + most // 2) // most).astype(np.uint8))
    return image.convert("RGB")
