"""Bytes of an image file to pixels, the same for pre-training and downstream data."""

import io
import struct
import warnings
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hpc_xfer.errors import DataError

# What Pillow raises on damaged files.
BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def decode(data: bytes, name: str = "image") -> torch.Tensor:
    """The pixels as uint8 (3, height, width) in RGB, upright; `name` is for the error.

    Grey and palette images get three channels, alpha is dropped, 16 bits become 8.

    Raises:
        DataError: not an image, cut off, too large to be one, or floating-point pixels.
    """
    return torch.from_numpy(np.ascontiguousarray(decode_array(data, name).transpose(2, 0, 1)))


def decode_array(data: bytes, name: str = "image") -> NDArray[np.uint8]:
    """As `decode`, but a numpy array (height, width, 3)."""
    try:
        with warnings.catch_warnings():
            # Of damaged EXIF notes and odd palettes, one for each such file among millions.
            warnings.simplefilter("ignore", UserWarning)
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                return np.array(_rgb(_upright(image), name))
    except UnidentifiedImageError as error:  # its own text holds a memory address
        raise DataError(f"{name}: is not an image; replace or remove it") from error
    except BROKEN as error:
        why = str(error) or type(error).__name__
        raise DataError(f"{name}: cannot be decoded ({why}); replace or remove it") from error


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (height, width) or (height, width, 3); level 1 is 4 times faster than 6."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera's EXIF note asks; a damaged note is no reason to lose the image."""
    try:
        return ImageOps.exif_transpose(image) if image.getexif() else image
    except BROKEN:
        return image


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise DataError(
            f"{name}: holds floating-point pixels, whose range is unknown; convert it to 8 bits"
        )
    if image.mode.startswith("I"):  # 16 bits; convert() would clip all above 255 to white
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8))
    return image.convert("RGB")
