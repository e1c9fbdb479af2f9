"""RandAugment of uint8 images (3, H, W), drawn from the generator of the sample.

    view = randaugment(view, rng, True)            # Cubuk et al. 2020, as torchvision sets it
    view = randaugment(view, rng, "increasing")    # rand-m9-mstd0.5-inc1, as timm names it

Most operations map a value to a value, so they are tables of 256 bytes. The standard policy has one
magnitude, so each of its six slants is one table of pixel positions, made once per image size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2.functional import (
    adjust_contrast,
    adjust_saturation,
    affine,
    rotate,
)

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]
_OPERATIONS = 2  # per image
_MAGNITUDE = 9 / 30  # of the strongest; torchvision counts 31 magnitudes from 0
_TRANSLATED = 150 / 331  # of the side, at the strongest (AutoAugment's images had 331 px)
_LEVEL, _LEVEL_SPREAD, _HIGHEST = 9.0, 0.5, 10.0  # of the increasing policy
_PROBABILITY = 0.5  # with which the increasing policy applies each operation that it drew
_FILL = (124.0, 116.0, 104.0)  # mean color of ImageNet; the increasing policy fills with it
_MAPS = 64  # tables of positions, 0.4 MB each at 224 px


@dataclass(frozen=True)
class Operation:
    """One operation and its strength, whose meaning depends on the operation."""

    name: str
    value: float = 0.0


def randaugment(view: Tensor, rng: Generator, policy: bool | str) -> Tensor:
    """Apply the operations that `rng` draws: True is the standard policy, False none."""
    if policy is not False:  # they work on planes; NumPy makes these twice as fast as torch
        view = torch.from_numpy(np.ascontiguousarray(view.numpy()))
    for operation in draw(rng, policy):
        view = apply(view, operation)
    return view


def draw(rng: Generator, policy: bool | str) -> tuple[Operation, ...]:
    """Draw the operations for one image; they do not depend on its size."""
    if policy is False:
        return ()
    if policy == "increasing":
        drawn = (_draw_increasing(rng) for _ in range(_OPERATIONS))
        return tuple(operation for operation in drawn if operation is not None)
    assert policy is True or policy == "standard", policy
    return tuple(_draw_standard(rng) for _ in range(_OPERATIONS))


def apply(view: Tensor, operation: Operation) -> Tensor:
    """Apply one operation to uint8 (3, H, W)."""
    return _APPLY[operation.name](view, operation.value)


# The standard policy: name -> strength at the magnitude, and whether its sign is drawn.
_STANDARD: dict[str, tuple[float, bool]] = {
    "identity": (0.0, False),
    "shear_x": (0.3 * _MAGNITUDE, True),
    "shear_y": (0.3 * _MAGNITUDE, True),
    "translate_x": (_TRANSLATED * _MAGNITUDE, True),
    "translate_y": (_TRANSLATED * _MAGNITUDE, True),
    "rotate": (30 * _MAGNITUDE, True),
    "brightness": (0.9 * _MAGNITUDE, True),
    "color": (0.9 * _MAGNITUDE, True),
    "contrast": (0.9 * _MAGNITUDE, True),
    "sharpness": (0.9 * _MAGNITUDE, True),
    "posterize": (8 - round(4 * _MAGNITUDE), False),
    "solarize": (255 * (1 - _MAGNITUDE), False),
    "autocontrast": (0.0, False),
    "equalize": (0.0, False),
}
_STANDARD_NAMES = tuple(_STANDARD)


def _draw_standard(rng: Generator) -> Operation:
    name = _STANDARD_NAMES[int(rng.integers(len(_STANDARD_NAMES)))]
    value, signed = _STANDARD[name]
    negative = rng.random() < 0.5  # drawn for all, so that each operation takes two numbers
    return Operation(name, -value if signed and negative else value)


# The increasing policy: name -> strength at the share 0..1 of the highest level, and whether its
# sign is drawn. More is always stronger, unlike in the first AutoAugment.
_INCREASING: dict[str, tuple[Callable[[float], float], bool]] = {
    "autocontrast": (lambda share: 0.0, False),
    "equalize": (lambda share: 0.0, False),
    "invert": (lambda share: 0.0, False),
    "slant_rotate": (lambda share: 30 * share, True),
    "posterize": (lambda share: 4 - int(4 * share), False),
    "solarize": (lambda share: 256 - int(256 * share), False),
    "solarize_add": (lambda share: min(128, int(110 * share)), False),
    "color": (lambda share: 0.9 * share, True),
    "contrast": (lambda share: 0.9 * share, True),
    "brightness": (lambda share: 0.9 * share, True),
    "sharpness": (lambda share: 0.9 * share, True),
    "slant_shear_x": (lambda share: 0.3 * share, True),
    "slant_shear_y": (lambda share: 0.3 * share, True),
    "slant_translate_x": (lambda share: 0.45 * share, True),
    "slant_translate_y": (lambda share: 0.45 * share, True),
}
_INCREASING_NAMES = tuple(_INCREASING)


def _draw_increasing(rng: Generator) -> Operation | None:
    name = _INCREASING_NAMES[int(rng.integers(len(_INCREASING_NAMES)))]
    applied, negative = rng.random(2) < (_PROBABILITY, 0.5)
    level = min(max(rng.normal(_LEVEL, _LEVEL_SPREAD), 0.0), _HIGHEST)
    if not applied:
        return None
    strength, signed = _INCREASING[name]
    value = strength(level / _HIGHEST)
    return Operation(name, -value if signed and negative else value)


# Tables: bytearray.translate takes 0.05 ms for 224 px, indexing an array takes 0.2.


def _mapped(view: Tensor, table: Values) -> Tensor:
    """Replace each value by that of the table (256,), cut to 0..255 and to its whole part."""
    return _translated(view, np.clip(table, 0, 255).astype(np.uint8))


def _translated(plane: Tensor, table: Pixels) -> Tensor:
    values = bytearray(plane.contiguous().numpy().data.cast("B"))
    out = np.frombuffer(values.translate(table.tobytes()), dtype=np.uint8)
    return torch.from_numpy(out).view(plane.shape)


def _per_channel(view: Tensor, table: Callable[[Pixels], Pixels | None]) -> Tensor:
    planes = []
    for plane in view:
        found = table(plane.numpy())
        planes.append(plane if found is None else _translated(plane, found))
    return torch.stack(planes)


_LADDER = np.arange(256, dtype=np.float64)


def _brightness(view: Tensor, value: float) -> Tensor:
    return _mapped(view, (_LADDER.astype(np.float32) * np.float32(_factor(value))).astype(float))


def _solarize(view: Tensor, value: float) -> Tensor:
    return _mapped(view, np.where(value <= _LADDER, 255 - _LADDER, _LADDER))


def _solarize_add(view: Tensor, value: float) -> Tensor:
    return _mapped(view, np.where(_LADDER < 128, _LADDER + value, _LADDER))


def _posterize(view: Tensor, value: float) -> Tensor:
    return view & (256 - (1 << (8 - int(value))))


def _invert(view: Tensor, value: float) -> Tensor:
    return 255 - view


def _autocontrast(view: Tensor, value: float) -> Tensor:
    return _per_channel(view, _stretched)


def _stretched(plane: Pixels) -> Pixels | None:
    """Table that maps the darkest value to 0 and the brightest to 255, in single precision."""
    low, high = np.float32(plane.min()), np.float32(plane.max())
    if low == high:
        return None
    scale = np.float32((high - low) * np.float32(1 / 255))
    values = (_LADDER.astype(np.float32) - low) / scale
    table: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return table


def _equalize(view: Tensor, value: float) -> Tensor:
    return _per_channel(view, _equalized)


def _equalized(plane: Pixels) -> Pixels | None:
    """Table that makes all values about equally frequent, as Pillow and torchvision round it."""
    counts = np.bincount(plane.ravel(), minlength=256)
    step = (plane.size - int(counts[np.flatnonzero(counts)[-1]])) // 255
    if step == 0:
        return None
    below = np.concatenate([[0], counts.cumsum()[:-1]])
    table: Pixels = np.clip((below + step // 2) // step, 0, 255).astype(np.uint8)
    return table


def _factor(value: float) -> float:
    return max(0.1, 1.0 + value)


def _color(view: Tensor, value: float) -> Tensor:
    out: Tensor = adjust_saturation(view, _factor(value))
    return out


def _contrast(view: Tensor, value: float) -> Tensor:
    out: Tensor = adjust_contrast(view, _factor(value))
    return out


def _sharpness(view: Tensor, value: float) -> Tensor:
    """Move away from (or to) the image smoothed by 3 x 3 px; torchvision takes 3 ms at 224 px."""
    if min(view.shape[1:]) <= 2:
        return view
    x = view.numpy().astype(np.int16)
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    center = x[:, 1:-1, 1:-1]
    smooth = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * center
    smooth = (smooth + 6) // 13  # rounded; weights 1, and 5 in the middle
    share = np.float32(1.0 - _factor(value))
    moved = center.astype(np.float32) + (smooth - center).astype(np.float32) * share
    out = view.numpy().copy()
    out[:, 1:-1, 1:-1] = np.clip(moved, 0, 255).astype(np.uint8)
    return torch.from_numpy(out)


# Positions of the standard policy: the nearest pixel, black outside.


def _translate(view: Tensor, pixels: tuple[int, int]) -> Tensor:
    """Move the image down and to the right by whole pixels."""
    out = torch.zeros_like(view)
    height, width = view.shape[1:]
    down, right = pixels
    out[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = view[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return out


def _translate_x(view: Tensor, value: float) -> Tensor:
    return _translate(view, (0, int(value * view.shape[2])))


def _translate_y(view: Tensor, value: float) -> Tensor:
    return _translate(view, (int(value * view.shape[1]), 0))


def _moved(name: str) -> Callable[[Tensor, float], Tensor]:
    def move(view: Tensor, value: float) -> Tensor:
        source, outside = _positions(name, value, view.shape[1], view.shape[2])
        out = np.take(view.reshape(3, -1).numpy(), source, axis=1)
        out[:, outside] = 0
        return torch.from_numpy(out).view(view.shape)

    return move


@lru_cache(maxsize=_MAPS)
def _positions(
    name: str, value: float, height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find for each pixel the one that comes there, and which pixels come from outside.

    torchvision is asked, with an image that holds the numbers of its pixels from 1.
    """
    numbers = torch.arange(1, height * width + 1, dtype=torch.float32).view(1, height, width)
    if name == "rotate":
        moved = rotate(numbers, value)
    else:
        angle = math.degrees(math.atan(value))
        shear = [angle, 0.0] if name == "shear_x" else [0.0, angle]
        moved = affine(numbers, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0])
    flat = moved.flatten().to(torch.int64).numpy()
    return np.maximum(flat - 1, 0), np.flatnonzero(flat == 0)


# Positions of the increasing policy: between four pixels, gray outside; each strength is another.


def _slanted(name: str) -> Callable[[Tensor, float], Tensor]:
    def slant(view: Tensor, value: float) -> Tensor:
        matrix = torch.tensor([_matrix(name, value, view.shape[1] / view.shape[2])])
        grid = affine_grid(matrix, [1, 3, view.shape[1], view.shape[2]], align_corners=False)
        fill = _fill()
        moved = grid_sample((view.float() - fill)[None], grid, align_corners=False)[0]
        return (moved + fill).round_().clamp_(0, 255).to(torch.uint8)

    return slant


def _matrix(name: str, value: float, ratio: float) -> list[list[float]]:
    """Matrix from places in the new image to places in the old one, both sides from -1 to 1.

    Shears keep the first row or column where it is, as Pillow's do.
    """
    match name:
        case "rotate":
            cos, sin = math.cos(math.radians(value)), math.sin(math.radians(value))
            return [[cos, sin * ratio, 0.0], [-sin / ratio, cos, 0.0]]
        case "shear_x":
            return [[1.0, value * ratio, value * ratio], [0.0, 1.0, 0.0]]
        case "shear_y":
            return [[1.0, 0.0, 0.0], [value / ratio, 1.0, value / ratio]]
        case "translate_x":
            return [[1.0, 0.0, 2 * value], [0.0, 1.0, 0.0]]
    assert name == "translate_y", name
    return [[1.0, 0.0, 0.0], [0.0, 1.0, 2 * value]]


@cache
def _fill() -> Tensor:
    return torch.tensor(_FILL).view(3, 1, 1)


_APPLY: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda view, value: view,
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "invert": _invert,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    **{name: _moved(name) for name in ("rotate", "shear_x", "shear_y")},
    **{
        f"slant_{name}": _slanted(name)
        for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
    },
}
