"""Decode image files to pixels, in the same way for pre-training and downstream data.

JPEGs are decoded by libjpeg-turbo (simplejpeg), other files by Pillow. A JPEG that will become much
smaller is decoded in part: the lowest frequencies of each block give 1/2, 1/4 or 1/8 of the sides.
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
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from hpc_xfer.compute.images import jpeg_header
from hpc_xfer.compute.images.jpeg_header import Header
from hpc_xfer.errors import DataError

_MOST_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a gigabyte of RGB
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of a TIFF
_SIGNED = 2  # a sample format
_16_BIT = ("PNG", "PPM")  # formats whose mode "I" is scaled to 16 bits


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
    header = header or upright_jpeg(data)
    if header is not None:
        _check_pixels(header, name)
        try:
            return _jpeg(data, header, shrink)
        except ValueError:
            pass  # Pillow accepts more, or says what is wrong
    return _shrunk(_by_pillow(data, name), shrink)


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


def _check_pixels(header: Header, name: str) -> None:
    if header.width * header.height > _MOST_PIXELS:
        raise DataError(
            f"{name}: has {header.width} x {header.height} pixels, more than the limit of "
            f"{_MOST_PIXELS:,}; make it smaller, replace or remove it"
        )


def open_by_pillow(data: bytes) -> Image.Image:
    """Read the header of an image. Not of EPS: Pillow lets Ghostscript run it as a program.

    Raises:
        Exception: of any class; see `pillow_errors_as_data_error`.
    """
    return Image.open(io.BytesIO(data), formats=_formats())


@cache
def _formats() -> list[str]:
    Image.preinit()  # the common formats are tried first
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _by_pillow(data: bytes, name: str) -> NDArray[np.uint8]:
    with pillow_errors_as_data_error(name), open_by_pillow(data) as image:
        check_range(image, name)
        white = _white(image)
        image.load()
        return np.array(_rgb(_upright(image), white))


def _shrunk(pixels: NDArray[np.uint8], shrink: int) -> NDArray[np.uint8]:
    """Shrink by averaging blocks, for an image that could not be decoded in part."""
    if shrink == 1:
        return pixels
    height, width = -(-pixels.shape[0] // shrink), -(-pixels.shape[1] // shrink)
    image = Image.fromarray(pixels).reduce(shrink)
    assert image.size == (width, height)
    return np.array(image)


def _upright(image: Image.Image) -> Image.Image:
    """Rotate an image as its EXIF data says; ignore damaged EXIF data."""
    try:
        with pillow_errors_as_data_error("EXIF"):
            return ImageOps.exif_transpose(image) if image.getexif() else image
    except DataError:
        return image


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
