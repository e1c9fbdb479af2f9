"""Encoded images of 12 x 10 pixels: a color per class and a little noise per image."""

import colorsys
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a login node that makes no stand-ins needs neither numpy nor PIL
    import numpy as np
    from numpy.typing import NDArray

WIDTH, HEIGHT = 12, 10


def pixels(label: int, i: int = 0, width: int = WIDTH, height: int = HEIGHT) -> "NDArray[np.uint8]":
    """Make the pixels (height, width, 3) of image `i` of a class."""
    import numpy as np

    hue = (label * 0.618034) % 1.0
    color = np.array(colorsys.hsv_to_rgb(hue, 0.4 + 0.5 * (label % 3) / 2, 0.9)) * 255
    noise = np.random.default_rng((label, i)).normal(0, 12, (height, width, 3))
    tiny: NDArray[np.uint8] = np.clip(color + noise, 0, 255).astype(np.uint8)
    return tiny


@cache
def encoded(label: int, i: int = 0, kind: str = "jpeg") -> bytes:
    """Encode a tiny image, once per process."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels(label, i)).save(buffer, kind)
    return buffer.getvalue()


def write(path: Path, label: int, i: int = 0, kind: str = "jpeg") -> None:
    """Write an image; its kind need not be what the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(label, i, kind))
