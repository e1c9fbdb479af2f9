"""Color jitter, grayscale and blur of a batch, compared with torchvision image by image."""

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torchvision.transforms.v2 import functional as tv

from hpc_xfer.compute.images import color_jitter

PLAIN = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def noise(n: int, side: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, 3, side, side), generator=generator, dtype=torch.uint8)


def applied(images: Tensor, **changes: float) -> Tensor:
    names = ("brightness", "contrast", "saturation", "hue", "gray", "sigma")
    row = [changes.get(name, plain) for name, plain in zip(names, PLAIN, strict=True)]
    return color_jitter.apply(images, torch.tensor([row] * len(images)))


def test_the_neutral_row_does_not_change_an_image() -> None:
    assert torch.allclose(applied(noise(4)), noise(4).float(), atol=1e-3)


class NoNumbers(TorchFunctionMode):
    """Refuses to make a tensor of Python numbers, for which the host would wait for the GPU."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        assert function not in (torch.tensor, torch.as_tensor, Tensor.new_tensor)
        return function(*arguments, **(named or {}))


def test_from_the_second_batch_on_no_number_is_sent_to_the_device() -> None:
    rows = torch.tensor([[1.1, 0.9, 1.2, 0.1, 1.0, 1.0]] * 2)
    before = color_jitter.apply_in_passes(noise(2), rows)
    with NoNumbers():
        assert torch.equal(color_jitter.apply_in_passes(noise(2), rows), before)


@pytest.mark.parametrize("side", [32, 224, 7])
def test_a_cpu_gives_what_passes_over_the_batch_give(side: int) -> None:
    rng, images = np.random.default_rng(1), noise(24, side)
    rows = torch.from_numpy(np.stack([color_jitter.draw(rng, 0.8, 0.2, 0.5, side) for _ in images]))
    together = color_jitter.apply_in_passes(images, rows)
    assert (color_jitter.apply(images, rows) - together).abs().max() < 2e-3
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(color_jitter.apply(channels_last, rows), color_jitter.apply(images, rows))
    assert torch.equal(color_jitter.apply_in_passes(channels_last, rows), together)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_jitter_equals_that_of_torchvision(factor: float) -> None:
    images = noise(3)
    exact = images.double() / 255
    for name, theirs in (
        ("brightness", tv.adjust_brightness(exact, factor)),
        ("contrast", tv.adjust_contrast(exact, factor)),
        ("saturation", tv.adjust_saturation(exact, factor)),
    ):
        ours = applied(images, **{name: factor}).double() / 255
        assert float((ours - theirs).abs().max()) < 1e-3, name


def test_gray_equals_that_of_torchvision() -> None:
    theirs = tv.rgb_to_grayscale(noise(2).double(), num_output_channels=3)
    assert float((applied(noise(2), gray=1) - theirs).abs().max()) < 0.1


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0])
def test_blur_equals_that_of_torchvision(sigma: float) -> None:
    images = noise(2, side=224)
    theirs = tv.gaussian_blur(images.double(), [13, 13], [sigma, sigma])
    assert float((applied(images, sigma=sigma) - theirs).abs().max()) < 0.01


def test_shifting_the_hue_keeps_gray_and_turns_red_into_green() -> None:
    gray = torch.full((1, 3, 4, 4), 77, dtype=torch.uint8)
    assert torch.allclose(applied(gray, hue=0.3), gray.float(), atol=1e-3)
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    green = applied(red, hue=1 / 3)[0, :, 0, 0]
    assert green.tolist() == pytest.approx([0, 200, 0], abs=1e-3)
    turned = applied(torch.tensor([120, 90, 60]).view(1, 3, 1, 1).expand(1, 3, 4, 4), hue=0.1)
    before, after = (colorsys.rgb_to_hsv(*c)[0] for c in ((120, 90, 60), turned[0, :, 0, 0]))
    assert after - before == pytest.approx(0.1, abs=0.02)


def test_an_image_does_not_depend_on_the_others_of_its_batch() -> None:
    """Else several ranks would see other images than one process."""
    images = noise(8)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(np.stack([color_jitter.draw(rng, 0.4, 0.2, 0.5, 32) for _ in range(8)]))
    together = color_jitter.apply(images, rows)
    for i in range(8):
        alone = color_jitter.apply(images[i : i + 1], rows[i : i + 1])
        assert torch.equal(alone, together[i : i + 1])


@pytest.mark.parametrize(("n", "side"), [(9, 224), (3, 480)])
def test_large_images_give_the_same_result_in_a_batch_and_one_by_one(n: int, side: int) -> None:
    images, rng = noise(n, side), np.random.default_rng(0)
    rows = torch.from_numpy(
        np.stack([color_jitter.draw(rng, 0.4, 0.2, 0.5, side) for _ in "x" * n])
    )
    one_by_one = [color_jitter.apply(images[i : i + 1], rows[i : i + 1]) for i in range(n)]
    assert torch.allclose(color_jitter.apply(images, rows), torch.cat(one_by_one), atol=1e-3)


def test_a_wide_blur_does_not_change_other_images_of_the_batch() -> None:
    images = noise(2, side=64)
    rows = torch.tensor([[*PLAIN[:5], 0.3], [*PLAIN[:5], 0.57]])
    together = color_jitter.apply(images, rows)[:1]
    assert torch.allclose(together, color_jitter.apply(images[:1], rows[:1]), atol=1e-3)


def test_images_smaller_than_the_window_are_blurred_too() -> None:
    assert applied(noise(1, side=2), sigma=0.5).shape == (1, 3, 2, 2)


def test_rows_are_drawn_as_simclr_says() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([color_jitter.draw(rng, 0.4, 0.2, 0.5, 224) for _ in range(4000)])
    assert rows.dtype == np.float32 and rows.shape == (4000, color_jitter.WIDTH)
    jittered = rows[rows[:, 0] != 1]
    assert len(jittered) / 4000 == pytest.approx(0.8, abs=0.03)
    assert jittered[:, :3].min() >= 0.6 and jittered[:, :3].max() <= 1.4
    assert abs(jittered[:, 3]).max() <= 0.1
    assert rows[:, 4].mean() == pytest.approx(0.2, abs=0.03)
    blurred = rows[rows[:, 5] > 0, 5]
    assert len(blurred) / 4000 == pytest.approx(0.5, abs=0.03)
    assert blurred.min() >= 0.1 and blurred.max() <= 2.0


def test_without_augmentation_the_row_is_neutral_and_as_many_numbers_are_drawn() -> None:
    """So switching one augmentation off does not change the others."""
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    assert color_jitter.draw(one, 0, 0, 0, 32).tolist() == PLAIN
    color_jitter.draw(two, 0.4, 1, 1, 32)
    assert one.random() == two.random()
