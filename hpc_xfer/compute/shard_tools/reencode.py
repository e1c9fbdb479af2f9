"""The bytes that a shard gets of an image: those of the file, or smaller ones.

    field, data = as_it_is(data, name)                   # checked, else a DataError
    field, data = Reencoding(384, 90).apply(data, name)  # short side at most 384 pixels

Both open the image as the loaders do, so that what does not decode never gets into a shard.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageOps

from hpc_xfer.compute.images.decode import damage_told, decode_array, open_by_pillow
from hpc_xfer.errors import DataError

# Pillow's name of a format -> field. MPO is what some cameras write: a JPEG with a second inside.
FIELD_OF_FORMAT = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
QUALITY = 90  # of JPEGs: at 95 files are 1.5 times as large
_ORIENTATION = 0x0112  # EXIF
_FINER = 2  # a JPEG is decoded at no less than twice the size asked, then resized


@dataclass(frozen=True)
class Reencoding:
    """Upright RGB or grey JPEGs, at most so large. What is one already is left as it is."""

    short_side: int | None = None  # pixels; never enlarged. None: as large as it is
    quality: int = QUALITY

    def apply(self, data: bytes, name: str) -> tuple[str, bytes]:
        """Field and bytes.

        Raises:
            DataError: the image is broken.
        """
        with open_image(data, name) as image:
            if self._fits(image):
                _decode(image)
                return "jpg", data
            return "jpg", self.encode(self._decoded(image, data, name))

    def encode(self, image: Image.Image) -> bytes:
        """A JPEG of an upright image, as small as asked."""
        buffer = io.BytesIO()
        self._resized(image).save(buffer, "jpeg", quality=self.quality)
        return buffer.getvalue()

    def _fits(self, image: Image.Image) -> bool:
        small = self.short_side is None or min(image.size) <= self.short_side
        plain = FIELD_OF_FORMAT.get(image.format or "") == "jpg" and image.mode in ("RGB", "L")
        return small and plain and not is_turned(image)

    def _decoded(self, image: Image.Image, data: bytes, name: str) -> Image.Image:
        if image.mode.startswith(("I", "F")):  # more than 8 bits
            return Image.fromarray(decode_array(data, name))
        if self.short_side is not None:
            image.draft(None, _sides(image.size, _FINER * self.short_side))
        image.load()
        return upright(image)

    def _resized(self, image: Image.Image) -> Image.Image:
        image = image if image.mode in ("RGB", "L") else image.convert("RGB")
        if self.short_side is None or min(image.size) <= self.short_side:
            return image
        return image.resize(_sides(image.size, self.short_side), Image.Resampling.BICUBIC)


def keep_file(data: bytes, name: str) -> tuple[str, bytes]:
    """Field and bytes of a file; a PNG of it where shards do not know its format, or it moves.

    Raises:
        DataError: the image is broken.
    """
    with open_image(data, name) as image:
        field = FIELD_OF_FORMAT.get(image.format or "")
        if field is not None and (field == "jpg" or not is_animated(image)):
            _decode(image)
            return field, data
    return "png", png(Image.fromarray(decode_array(data, name)))


def png(image: Image.Image) -> bytes:
    """Level 1 is 4 times faster than 6."""
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


@contextmanager
def open_image(data: bytes, name: str) -> Iterator[Image.Image]:
    """An image of which only the header is read; what goes wrong with it is a DataError.

    What is done with it inside of the `with` counts as Pillow's: nothing else belongs there.
    Above 89 million pixels it is taken for a bomb: Pillow's limit, a quarter of a GB of RGB.
    """
    with damage_told(name), open_by_pillow(data) as image:
        yield image


def is_turned(image: Image.Image) -> bool:
    """True where the camera's EXIF note asks to turn or mirror it."""
    try:
        with damage_told("its note"):
            return image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except DataError:
        return False


def is_animated(image: Image.Image) -> bool:
    return bool(getattr(image, "is_animated", False))


def upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if is_turned(image) else image


def _decode(image: Image.Image) -> None:
    """A JPEG only at an eighth of its sides: all of its bytes are read, in a third of the time."""
    image.draft("L", (1, 1))
    image.load()


def _sides(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Sides with the shorter one at `short`, the other rounded."""
    scale = short / min(size)
    return max(short, round(size[0] * scale)), max(short, round(size[1] * scale))
