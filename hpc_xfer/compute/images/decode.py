"""Bytes of an image file to pixels, the same for pre-training and downstream data.

JPEGs go through libjpeg-turbo by way of simplejpeg, the rest through Pillow. Of JPEGs that are to
become much smaller only a part is decoded: the lowest frequencies of each block, which gives 1/2,
1/4 or 1/8 of the sides.
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
from torch import Tensor

from hpc_xfer.compute.images import jpeg_header
from hpc_xfer.compute.images.jpeg_header import Header
from hpc_xfer.errors import DataError

_MOST_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a gigabyte of RGB


@contextmanager
def pillow_errors_as_data_error(name: str) -> Iterator[None]:
    """Around calls of Pillow alone: what it raises becomes a DataError about `name`.

    That may be anything: RuntimeError of a damaged AVIF, NotImplementedError of a BLP,
    AttributeError of a SPIDER file, and another plugin's tomorrow. One such image in a web-scale
    source would otherwise end the run.
    """
    try:
        with warnings.catch_warnings():
            # Of damaged EXIF notes and odd palettes, one for each such file among millions.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (DataError, MemoryError):  # said already; the node's trouble, not the image's
        raise
    except UnidentifiedImageError as error:  # its own text holds a memory address
        raise DataError(f"{name}: is not an image; replace or remove it") from error
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: cannot be decoded ({why}); replace or remove it") from error


def decode(data: bytes, name: str = "image", shrink: int = 1) -> Tensor:
    """The pixels as uint8 (3, height, width) in RGB, upright; `name` is for the error.

    Grey and palette images get three channels, alpha is dropped, 16 bits become 8. Of an animation
    it is the first picture.

    Args:
        shrink: 1, 2, 4 or 8: sides divided by it and rounded up, as only what has `sides` can be.

    Raises:
        DataError: not an image, cut off, too large to be one, or floating-point pixels.
    """
    return torch.from_numpy(decode_array(data, name, shrink)).permute(2, 0, 1)


def sides(data: bytes) -> tuple[int, int] | None:
    """Height and width of an upright JPEG, which may be decoded in part; None of other images."""
    header = jpeg_header.read(data)
    if header is None or not header.plain or header.noted:
        return None
    return header.height, header.width


def decode_array(data: bytes, name: str = "image", shrink: int = 1) -> NDArray[np.uint8]:
    """As `decode`, but a numpy array (height, width, 3)."""
    header = jpeg_header.read(data)
    if header is not None and header.plain and not header.noted:
        _hold_to_limit(header, name)
        try:
            return _jpeg(data, header, shrink)
        except ValueError:
            pass  # Pillow is milder, or tells what is wrong
    return _shrunk(_by_pillow(data, name), shrink)


def _jpeg(data: bytes, header: Header, shrink: int) -> NDArray[np.uint8]:
    """Raises:
    ValueError: damaged.
    """
    low, wide = -(-header.height // shrink), -(-header.width // shrink)
    if shrink == 1:
        low = wide = 0  # as it is; a minimum would make libjpeg-turbo look for a scale
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, min_height=low, min_width=wide)
    return pixels


def _hold_to_limit(header: Header, name: str) -> None:
    if header.width * header.height > _MOST_PIXELS:
        raise DataError(
            f"{name}: claims {header.width} x {header.height} pixels, which no photograph has; "
            "replace or remove it"
        )


def open_by_pillow(data: bytes) -> Image.Image:
    """Its header is read. Of EPS Pillow would make a program that Ghostscript runs: not of the web.

    Raises:
        What Pillow does: anything, see `damage_told`.
    """
    return Image.open(io.BytesIO(data), formats=_formats())


@cache
def _formats() -> list[str]:
    Image.preinit()  # the usual ones are tried first
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _by_pillow(data: bytes, name: str) -> NDArray[np.uint8]:
    with pillow_errors_as_data_error(name), open_by_pillow(data) as image:
        image.load()
        return np.array(_rgb(_upright(image), name))


def _shrunk(pixels: NDArray[np.uint8], shrink: int) -> NDArray[np.uint8]:
    """Means of blocks, for what cannot be decoded in part after all."""
    if shrink == 1:
        return pixels
    height, width = -(-pixels.shape[0] // shrink), -(-pixels.shape[1] // shrink)
    image = Image.fromarray(pixels).reduce(shrink)
    assert image.size == (width, height)
    return np.array(image)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (height, width) or (height, width, 3); level 1 is 4 times faster than 6."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera's EXIF note asks; a damaged note is no reason to lose the image."""
    try:
        with pillow_errors_as_data_error("its note"):
            return ImageOps.exif_transpose(image) if image.getexif() else image
    except DataError:
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
