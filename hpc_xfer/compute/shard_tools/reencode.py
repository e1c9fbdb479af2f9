"""The bytes of an image in a shard: those of its file, or a smaller JPEG.

    field, data = keep_file(data, name)                  # checked; raises a DataError
    field, data = Reencoding(384, 90).apply(data, name)  # short side at most 384 pixels

Both open the image as the loaders do, so an image that cannot be decoded never gets into a shard.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from hpc_xfer.compute.images.decode import (
    check_drafted,
    check_range,
    decode_array,
    open_by_pillow,
    orientation_of,
    pillow_errors_as_data_error,
)
from hpc_xfer.compute.images.structure import gif

# Pillow's name of a format -> field. Some cameras write MPO: a JPEG with a second one inside.
FIELD_OF_FORMAT = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
QUALITY = 90  # of JPEGs; at 95 files are 1.5 times as large
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_DRAFT_FACTOR = 2  # a JPEG is decoded at twice the requested size or more, then resized


@dataclass(frozen=True)
class Reencoding:
    """Turns images into upright RGB or gray JPEGs of limited size. Files that fit stay the same."""

    short_side: int | None = None  # pixels; smaller images stay small. None: no limit
    quality: int = QUALITY

    def apply(self, data: bytes, name: str) -> tuple[str, bytes]:
        """Return field and bytes of an image.

        Raises:
            DataError: the image is broken.
        """
        with open_image(data, name) as image:
            if self._fits(image):
                _decode(image)
                return "jpg", data
            return "jpg", self.encode(self._decoded(image, data, name))

    def encode(self, image: Image.Image) -> bytes:
        """Encode an upright image as a JPEG of at most this size."""
        buffer = io.BytesIO()
        self._resized(image).save(buffer, "jpeg", quality=self.quality)
        return buffer.getvalue()

    def _fits(self, image: Image.Image) -> bool:
        is_small = self.short_side is None or min(image.size) <= self.short_side
        is_plain = FIELD_OF_FORMAT.get(image.format or "") == "jpg" and image.mode in ("RGB", "L")
        return is_small and is_plain and not is_turned(image)

    def _decoded(self, image: Image.Image, data: bytes, name: str) -> Image.Image:
        check_range(image, name)
        if image.mode.startswith("I"):  # more than 8 bits
            return Image.fromarray(decode_array(data, name))
        if image.mode not in ("RGB", "L", "CMYK"):  # in less memory than Pillow alone
            made = Image.fromarray(decode_array(data, name))
            made.info = dict(image.info)  # of which a comment is written
            return made
        if self.short_side is not None:
            image.draft(None, _sides(image.size, _DRAFT_FACTOR * self.short_side))
        check_drafted(image, name)
        image.load()
        return upright(image)

    def _resized(self, image: Image.Image) -> Image.Image:
        image = image if image.mode in ("RGB", "L") else image.convert("RGB")
        if self.short_side is None or min(image.size) <= self.short_side:
            return image
        return image.resize(_sides(image.size, self.short_side), Image.Resampling.BICUBIC)


def keep_file(data: bytes, name: str) -> tuple[str, bytes]:
    """Return field and bytes of a file, as a PNG where its format is unknown or it is animated.

    Raises:
        DataError: the image is broken.
    """
    field = _kept_field(data, name)
    if field is not None:
        return field, data
    return "png", png(Image.fromarray(decode_array(data, name)))


def _kept_field(data: bytes, name: str) -> str | None:
    """Field of a file that is kept as it is, which was decoded; None for one that becomes a PNG."""
    with open_image(data, name) as image:
        field = FIELD_OF_FORMAT.get(image.format or "")
        if field is not None and (field == "jpg" or not is_animated(image, data)):
            _decode(image)
            return field
    return None


def png(image: Image.Image) -> bytes:
    """Encode losslessly; level 1 is 4 times faster than 6."""
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


@contextmanager
def open_image(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open an image and read its header. Any error inside the `with` becomes a DataError.

    So nothing but calls of Pillow belongs inside it. An image that would take too much memory or
    time is refused; see limits.py. A JPEG is expected to be decoded in part.
    """
    with pillow_errors_as_data_error(name), open_by_pillow(data, name, in_part=True) as image:
        yield image


def is_turned(image: Image.Image) -> bool:
    """True where the EXIF data asks to rotate or mirror the image."""
    return orientation_of(image) != 1


def is_animated(image: Image.Image, data: bytes) -> bool:
    if image.format == "GIF":
        return gif.is_animated(data)
    return bool(getattr(image, "is_animated", False))


def upright(image: Image.Image) -> Image.Image:
    orientation = orientation_of(image)
    return image if orientation == 1 else image.transpose(_TURNS[orientation])


def _decode(image: Image.Image) -> None:
    """Decode to find damage. A JPEG at 1/8 of its sides: that reads all bytes, 3 times faster."""
    image.draft("L", (1, 1))
    image.load()


def _sides(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Scale the shorter side to `short` and round the other."""
    scale = short / min(size)
    return max(short, round(size[0] * scale)), max(short, round(size[1] * scale))
