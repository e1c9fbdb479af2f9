"""Random resized crop, flip and center crop of uint8 images (3, H, W)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import interpolate

from hpc_xfer.config.recipes import Crop

Box = tuple[int, int, int, int]  # top, left, height, width
_TRIES = 10  # as torchvision; after that, the largest central square
_EVAL_ZOOM = 256 / 224  # of the short side, before the center crop


def random_box(rng: Generator, height: int, width: int, crop: Crop) -> Box:
    """Draw a box with a random share of the area and aspect ratio (Szegedy et al. 2015)."""
    low, high = (math.log(ratio) for ratio in crop.ratio)
    for share, ratio, y, x in rng.random((_TRIES, 4)).tolist():  # floats are faster than NumPy's
        area = height * width * (crop.scale[0] + share * (crop.scale[1] - crop.scale[0]))
        aspect = math.exp(low + ratio * (high - low))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(y * (height - h + 1)), int(x * (width - w + 1)), h, w
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


@dataclass(frozen=True)
class View:
    """The part of an image that a training view shows, in pixels of the whole image."""

    box: Box
    flipped: bool


def draw_view(rng: Generator, height: int, width: int, crop: Crop, flip: bool) -> View:
    """Draw one training view of an image of this size."""
    box = random_box(rng, height, width, crop)
    return View(box, flip and rng.random() < 0.5)


def shrinkage(views: Sequence[View], size: int) -> int:
    """Largest of 1, 2, 4, 8 by which an image may shrink and still give `size` pixels per view."""
    room = min(min(view.box[2:]) for view in views) // size
    return next(n for n in (8, 4, 2, 1) if n <= max(room, 1))


def crop_view(image: Tensor, view: View, size: int, shrink: int = 1) -> Tensor:
    """Cut a view from an image decoded at 1/`shrink` of its sides: uint8 (3, size, size).

    It lies in memory as the image does.
    """
    top, left, height, width = (round(value / shrink) for value in view.box)
    part = resize(image[:, top : top + height, left : left + width], size, size)
    return part.flip(-1) if view.flipped else part


def random_view(image: Tensor, rng: Generator, size: int, crop: Crop, flip: bool) -> Tensor:
    """Draw and cut one training view: uint8 (3, size, size)."""
    return crop_view(image, draw_view(rng, image.shape[1], image.shape[2], crop, flip), size)


def center_crop(image: Tensor, size: int) -> Tensor:
    """Resize the short side to size * 256/224, then crop the center: uint8 (3, size, size).

    Images no larger than `size` (scans of digits, 32 px pictures) are not cropped to a margin.
    """
    height, width = image.shape[1], image.shape[2]
    short = size if min(height, width) <= size else round(size * _EVAL_ZOOM)
    scale = short / min(height, width)
    zoomed = resize(image, max(short, round(height * scale)), max(short, round(width * scale)))
    top, left = (zoomed.shape[1] - size) // 2, (zoomed.shape[2] - size) // 2
    return zoomed[:, top : top + size, left : left + size].contiguous()


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resize uint8 (3, H, W), bicubic with antialiasing; torchvision's wrapper is half as fast.

    The result lies in memory as the image does: channels last, as decoders write them, or planes.
    """
    images = image[None]
    if image.stride(0) == 1:  # of a cut torch would make planes: 255 us instead of 180 for 320 px
        images = images.contiguous(memory_format=torch.channels_last)
    return interpolate(images, (height, width), mode="bicubic", antialias=True)[0]
