"""Apply color jitter, grayscale and blur on a CPU: image by image, and no more than each needs.

An image stays in the cache of a core while all its operations run, and the numbers of a neutral row
cost nothing: seven times as fast as passes over the batch, which is how a GPU does it. Both agree
to rounding. An image gives the same bits in any batch.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)
_LEAST_WEIGHT = 1e-7  # of a pixel in a blur; single precision does not see less

Matrix = list[list[float]]


def apply(images: Tensor, rows: Tensor, radius: int) -> Tensor:
    """Change images (N, 3, H, W) in 0..255 by rows (N, 6); returns float32 in planes.

    Args:
        radius: of the blur in pixels, less than H and W.
    """
    out = torch.empty(images.shape, dtype=torch.float32)
    spare = torch.empty(images.shape[1:], dtype=torch.float32)
    for image, row, changed in zip(images, rows.tolist(), out, strict=True):
        brightness, contrast, saturation, hue, gray, sigma = row
        changed.copy_(image)
        if brightness != 1:
            changed.mul_(brightness).clamp_(0, 255)
        if contrast != 1:
            mean = _dot(LUMA, changed.mean(dim=(1, 2)).tolist())
            changed.mul_(contrast).add_((1 - contrast) * mean).clamp_(0, 255)
        if saturation != 1:
            _map_colors(changed, _saturation(saturation), spare)
        if hue:
            _map_colors(changed, _rotation(hue), spare)
        if gray:
            changed.copy_(_luma(changed))
        if sigma > 0:
            _blur(changed, sigma, radius)
    return out


def _dot(one: tuple[float, ...], two: list[float]) -> float:
    return sum(a * b for a, b in zip(one, two, strict=True))


def _map_colors(image: Tensor, matrix: Matrix, spare: Tensor) -> None:
    """Multiply each color by a matrix (3, 3), in place."""
    torch.mm(torch.tensor(matrix), image.view(3, -1), out=spare.view(3, -1))
    torch.clamp(spare, 0, 255, out=image)


def _saturation(factor: float) -> Matrix:
    """Blend each color with its luma."""
    return [[(1 - factor) * LUMA[j] + factor * (i == j) for j in range(3)] for i in range(3)]


def _rotation(turns: float) -> Matrix:
    """Rotate colors about the gray axis (Rodrigues' formula)."""
    cos, sin = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    same, before, after = (
        (1 + 2 * cos) / 3,
        (1 - cos) / 3 - sin / 3**0.5,
        (1 - cos) / 3 + sin / 3**0.5,
    )
    return [[same, before, after], [after, same, before], [before, after, same]]


def _luma(image: Tensor) -> Tensor:
    return torch.mm(torch.tensor([LUMA]), image.view(3, -1)).view(1, *image.shape[1:])


def _blur(image: Tensor, sigma: float, radius: int) -> None:
    """Blur by a separable Gaussian, in place.

    Sums of shifted planes take half the time of `conv2d`, which has nothing to gain from so few
    channels.
    """
    height, width = image.shape[1:]
    weights = _weights(sigma, radius)
    padded = F.pad(image[None], (radius,) * 4, mode="reflect")[0]
    columns = [padded[..., i : i + width] for i in range(2 * radius + 1)]
    blurred = _weighted(columns, weights, torch.empty(3, height + 2 * radius, width))
    _weighted([blurred[:, i : i + height] for i in range(2 * radius + 1)], weights, image)


def _weights(sigma: float, radius: int) -> list[float]:
    """Weights by distance, from 0; of the whole window they add up to 1."""
    bells = [math.exp(-0.5 * (i / max(sigma, 1e-3)) ** 2) for i in range(radius + 1)]
    total = 2 * sum(bells) - bells[0]
    return [bell / total for bell in bells]


def _weighted(shifted: list[Tensor], weights: list[float], out: Tensor) -> Tensor:
    middle = len(shifted) // 2
    torch.mul(shifted[middle], weights[0], out=out)
    for distance, weight in enumerate(weights[1:], start=1):
        if weight > _LEAST_WEIGHT:
            out.add_(shifted[middle - distance], alpha=weight)
            out.add_(shifted[middle + distance], alpha=weight)
    return out
