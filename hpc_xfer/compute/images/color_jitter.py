"""Color jitter, grayscale and blur for a batch on the device, each image with its own numbers.

`draw` makes one row of numbers per image on the CPU, where the randomness of a sample is a function
of (seed, epoch, sample); `apply` uses a batch of rows at once.
"""

from functools import cache

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from hpc_xfer.compute.images import color_on_cpu

# Columns of a row: brightness, contrast, saturation, hue (turns), gray (0/1), blur sigma (px).
WIDTH = 6
_JITTER_PROBABILITY = 0.8  # SimCLR (Chen et al. 2020), appendix A
_BLUR_SIGMA = (0.1, 2.0)  # at 224 px; scaled with the image side


def draw(rng: Generator, jitter: float, gray: float, blur: float, side: int) -> np.ndarray:
    """Draw the row of one image, float32 (WIDTH,).

    `jitter` is its strength, `gray` and `blur` are probabilities, `side` is that of the image.
    """
    row = np.array([1, 1, 1, 0, 0, 0], dtype=np.float32)
    uniform = rng.random(8)
    if uniform[0] < _JITTER_PROBABILITY:
        row[:3] = 1 + 2 * jitter * (uniform[1:4] - 0.5)
        row[3] = 0.25 * jitter * 2 * (uniform[4] - 0.5)  # a quarter, as in (.4, .4, .4, .1)
    row[4] = uniform[5] < gray
    if uniform[6] < blur:
        low, high = _BLUR_SIGMA
        row[5] = (low + (high - low) * uniform[7]) * side / 224
    return row


def apply(images: Tensor, rows: Tensor) -> Tensor:
    """Change images (N, 3, H, W) in 0..255 by rows (N, WIDTH); returns float, in 0..255."""
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return apply_in_passes(images, rows)
    return color_on_cpu.apply(images, rows, _radius(images))


def apply_in_passes(images: Tensor, rows: Tensor) -> Tensor:
    """Do what `apply` does, in passes over the whole batch, as a GPU is fast at; equal to rounding.

    No operation waits for the GPU.
    """
    x = images.to(torch.float32, memory_format=torch.contiguous_format)
    brightness, contrast, saturation, hue, gray, sigma = rows.view(-1, WIDTH, 1, 1, 1).unbind(1)
    x = (x * brightness).clamp(0, 255)
    x = _blend(x, _luma(x).mean(dim=(2, 3), keepdim=True), contrast)
    x = _blend(x, _luma(x), saturation)
    x = _shift_hue(x, hue.flatten())
    x = torch.where(gray > 0, _luma(x).expand_as(x), x)
    return _blur(x, sigma.flatten())


def _luma(x: Tensor) -> Tensor:
    return (x * _luma_weights(x.device)).sum(dim=1, keepdim=True)


# A tensor made of Python numbers makes the host wait for the GPU, so each is made once.


@cache
def _luma_weights(device: torch.device) -> Tensor:
    return torch.tensor(color_on_cpu.LUMA, device=device).view(1, 3, 1, 1)


@cache
def _cross(device: torch.device) -> Tensor:
    """Matrix (3, 3) of the cross product with the unit vector along the gray axis."""
    return torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device) / 3**0.5


def _blend(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return (other + share * (x - other)).clamp(0, 255)


def _shift_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate colors about the gray axis, by one matrix per image (Rodrigues' formula)."""
    angle = 2 * torch.pi * turns
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    third = x.new_full((3, 3), 1 / 3)
    matrix = cos * torch.eye(3, device=x.device) + (1 - cos) * third + sin * _cross(x.device)
    return torch.einsum("nij,njhw->nihw", matrix, x).clamp(0, 255)


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur by a separable Gaussian with one sigma per image; sigma 0 leaves the image unchanged.

    The window fits the largest sigma of `draw`, not the largest of the batch: so an image does not
    depend on the other images, and not on the number of ranks.
    """
    chosen, radius = sigma > 0, _radius(x)
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma.clamp(min=1e-3).view(-1, 1)) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    n, _, height, width = x.shape
    flat = F.pad(x, (radius,) * 4, mode="reflect").reshape(1, n * 3, height + 2 * radius, -1)
    flat = F.conv2d(flat, kernel.view(n * 3, 1, 1, -1), groups=n * 3)
    flat = F.conv2d(flat, kernel.view(n * 3, 1, -1, 1), groups=n * 3)
    return torch.where(chosen.view(-1, 1, 1, 1), flat.view(n, 3, height, width), x)


def _radius(images: Tensor) -> int:
    """Radius of the blur in pixels."""
    wanted = max(1, round(3 * _BLUR_SIGMA[1] * images.shape[-1] / 224))
    return min(wanted, min(images.shape[2:]) - 1)
