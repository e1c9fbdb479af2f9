"""Random resized crop and center crop of uint8 images."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from hpc_xfer.compute.images import crops
from hpc_xfer.config.recipes import Crop


def noise(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(("height", "width"), [(40, 30), (30, 40), (224, 224), (1, 1), (300, 2)])
def test_a_box_lies_inside_and_keeps_area_and_ratio(height: int, width: int) -> None:
    crop, rng = Crop(scale=(0.3, 0.9)), np.random.default_rng(0)
    for _ in range(300):
        top, left, h, w = crops.random_box(rng, height, width, crop)
        assert top >= 0 and top + h <= height and left >= 0 and left + w <= width
        if (h, w) == (min(height, width),) * 2:
            continue  # the way out where no box fits
        slack = 1 + 1.5 / min(h, w)  # both sides are rounded
        assert 0.3 / slack**2 <= h * w / (height * width) <= 0.9 * slack**2
        assert 3 / 4 / slack <= w / h <= 4 / 3 * slack


def test_boxes_reach_every_edge_evenly() -> None:
    rng = np.random.default_rng(0)
    boxes = [crops.random_box(rng, 64, 64, Crop(scale=(0.2, 0.3))) for _ in range(2000)]
    slack = np.array([(top / (64 - h), left / (64 - w)) for top, left, h, w in boxes])
    assert slack.min() == 0 and slack.max() == 1
    assert abs(slack.mean(axis=0) - 0.5).max() < 0.03
    middles = [math.log(w / h) for _, _, h, w in boxes]
    assert abs(np.mean(middles)) < 0.02  # as often wide as tall


def test_a_crop_of_scale_1_keeps_the_whole_image() -> None:
    whole = Crop(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    image = noise(32, 32)
    view = crops.random_view(image, np.random.default_rng(0), 32, whole, flip=False)
    assert torch.equal(view, image)


def test_half_of_the_views_are_flipped() -> None:
    whole, image, rng = Crop(scale=(1.0, 1.0), ratio=(1.0, 1.0)), noise(16, 16), None
    rng = np.random.default_rng(0)
    views = [crops.random_view(image, rng, 16, whole, flip=True) for _ in range(200)]
    flipped = [torch.equal(view, image.flip(-1)) for view in views]
    assert all(torch.equal(view, image) for view, f in zip(views, flipped, strict=True) if not f)
    assert 70 < sum(flipped) < 130


def test_resizing_equals_that_of_torchvision() -> None:
    for size in ((32, 32), (50, 17), (200, 220)):
        theirs = tv.resize(noise(97, 120), list(size), v2.InterpolationMode.BICUBIC, antialias=True)
        assert torch.equal(crops.resize(noise(97, 120), *size), theirs)


@pytest.mark.parametrize(
    ("height", "width"),
    [(400, 300), (300, 400), (225, 224), (224, 224), (100, 224), (8, 8), (1, 9)],
)
def test_an_image_of_any_size_has_an_evaluation_view(height: int, width: int) -> None:
    view = crops.center_crop(noise(height, width), 224)
    assert view.shape == (3, 224, 224) and view.dtype == torch.uint8 and view.is_contiguous()


def test_large_images_lose_a_margin_and_small_ones_nothing() -> None:
    image = torch.zeros(3, 448, 448, dtype=torch.uint8)
    image[:, :, :14] = 255  # the margin is 448 * (1 - 224/256) / 2 = 28
    assert int(crops.center_crop(image, 224).max()) == 0
    small = torch.zeros(3, 28, 28, dtype=torch.uint8)
    small[:, :, 0] = 255
    assert int(crops.center_crop(small, 32)[0, 16, 0]) > 200
