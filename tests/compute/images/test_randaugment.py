"""RandAugment: each operation as torchvision does it, and what is drawn how often."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as image_ops

from hpc_xfer.compute.images.randaugment import Operation, apply, draw, randaugment


def photo(height: int = 48, width: int = 64) -> Tensor:
    """Smooth colors with noise, not from 0 to 255."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)])
    pixels = 120 + 70 * waves + rng.normal(0, 12, waves.shape)
    return torch.from_numpy(np.clip(pixels, 5, 240).astype(np.uint8))


def shear(x: Tensor, horizontal: float, vertical: float, **more: Any) -> Tensor:
    angles = [math.degrees(math.atan(value)) for value in (horizontal, vertical)]
    out: Tensor = image_ops.affine(
        x, angle=0.0, translate=[0, 0], scale=1.0, shear=angles, center=[0, 0], **more
    )
    return out


def translate(x: Tensor, right: int, down: int, **more: Any) -> Tensor:
    out: Tensor = image_ops.affine(
        x, angle=0.0, translate=[right, down], scale=1.0, shear=[0.0, 0.0], **more
    )
    return out


SHARE = 150 / 331 * 0.3


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("name", "value", "theirs"),
    [
        ("identity", 0, lambda x, v: x),
        ("shear_x", 0.09, lambda x, v: shear(x, v, 0)),
        ("shear_y", 0.09, lambda x, v: shear(x, 0, v)),
        ("translate_x", SHARE, lambda x, v: translate(x, int(v * 64), 0)),
        ("translate_y", SHARE, lambda x, v: translate(x, 0, int(v * 48))),
        ("rotate", 9.0, lambda x, v: image_ops.rotate(x, v)),
        ("brightness", 0.27, lambda x, v: image_ops.adjust_brightness(x, 1 + v)),
        ("color", 0.27, lambda x, v: image_ops.adjust_saturation(x, 1 + v)),
        ("contrast", 0.27, lambda x, v: image_ops.adjust_contrast(x, 1 + v)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_signed_operation_is_that_of_torchvision(
    name: str, value: float, sign: int, theirs: Callable[[Tensor, float], Tensor]
) -> None:
    x = photo()
    assert torch.equal(apply(x, Operation(name, sign * value)), theirs(x, sign * value))


@pytest.mark.parametrize("value", [0.27, -0.27, 0.81, -0.81])
def test_sharpness_is_that_of_torchvision_to_one_level(value: float) -> None:
    """Sums are rounded in another order: 1 of 255 where a result lies between two levels."""
    x = photo()
    ours = apply(x, Operation("sharpness", value)).int()
    theirs = image_ops.adjust_sharpness(x, 1 + value).int()
    assert (ours - theirs).abs().max() <= 1 and (ours != theirs).double().mean() < 0.001


@pytest.mark.parametrize(
    ("name", "value", "theirs"),
    [
        ("posterize", 7, lambda x: image_ops.posterize(x, 7)),
        ("posterize", 1, lambda x: image_ops.posterize(x, 1)),
        ("posterize", 0, lambda x: image_ops.posterize(x, 0)),
        ("solarize", 178.5, lambda x: image_ops.solarize(x, 178.5)),
        ("solarize", 26, lambda x: image_ops.solarize(x, 26)),
        ("invert", 0, image_ops.invert),
        ("autocontrast", 0, image_ops.autocontrast),
        ("equalize", 0, image_ops.equalize),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("image", ["photo", "flat", "two values", "tiny"])
def test_an_operation_on_values_is_that_of_torchvision(
    name: str, value: float, theirs: Callable[[Tensor], Tensor], image: str
) -> None:
    x = photo(2, 2) if image == "tiny" else photo()
    if image == "flat":
        x = torch.full_like(x, 77)
    if image == "two values":
        x = torch.where(x > 120, 200, 30).to(torch.uint8)
    assert torch.equal(apply(x, Operation(name, value)), theirs(x))


def test_solarize_add_brightens_the_dark_half() -> None:
    x = torch.tensor([0, 100, 127, 128, 250], dtype=torch.uint8).expand(3, 1, 5)
    assert apply(x, Operation("solarize_add", 99))[0, 0].tolist() == [99, 199, 226, 128, 250]


BILINEAR = {"interpolation": image_ops.InterpolationMode.BILINEAR}


@pytest.mark.parametrize(
    ("name", "value", "theirs"),
    [
        ("slant_rotate", 27.0, lambda x, f: image_ops.rotate(x, -27.0, fill=f, **BILINEAR)),
        ("slant_translate_x", 0.25, lambda x, f: translate(x, -16, 0, fill=f, **BILINEAR)),
        ("slant_translate_y", -0.25, lambda x, f: translate(x, 0, 12, fill=f, **BILINEAR)),
        ("slant_shear_x", 0.27, lambda x, f: shear(x, 0.27, 0, fill=f, **BILINEAR)),
        ("slant_shear_y", 0.27, lambda x, f: shear(x, 0, 0.27, fill=f, **BILINEAR)),
    ],
)
def test_an_increasing_slant_is_that_of_torchvision_except_at_the_border(
    name: str, value: float, theirs: Callable[[Tensor, list[float]], Tensor]
) -> None:
    """There torchvision mixes the image with black, then with the fill."""
    x = photo()
    inside = theirs(torch.ones(x.shape), [0.0, 0.0, 0.0])
    difference = apply(x, Operation(name, value)).int() - theirs(x, [124.0, 116.0, 104.0]).int()
    assert difference[(inside > 0.9999) | (inside < 1e-6)].abs().max() <= 1
    assert (inside > 0.9999).double().mean() > 0.4 and (inside < 1e-6).any()


def drawn(policy: bool | str, n: int) -> list[Operation]:
    return [op for i in range(n) for op in draw(np.random.default_rng((3, i)), policy)]


def test_the_standard_policy_draws_fourteen_operations_alike_with_both_signs() -> None:
    found = drawn(True, 7000)
    counts = Counter(op.name for op in found)
    assert len(found) == 14_000 and len(counts) == 14
    assert all(850 < count < 1150 for count in counts.values())
    values = {name: {op.value for op in found if op.name == name} for name in counts}
    assert values["rotate"] == {9.0, -9.0} and values["posterize"] == {7}
    assert sorted(values["brightness"]) == pytest.approx([-0.27, 0.27])
    assert sorted(values["solarize"]) == pytest.approx([178.5])


def test_the_increasing_policy_applies_half_of_fifteen_operations_at_about_nine() -> None:
    found = drawn("increasing", 7000)
    counts = Counter(op.name for op in found)
    assert 6700 < len(found) < 7300 and len(counts) == 15
    turns = np.array([op.value for op in found if op.name == "slant_rotate"])
    assert np.abs(turns).mean() == pytest.approx(27, abs=0.3) and np.abs(turns).max() <= 30
    assert np.abs(turns).std() == pytest.approx(1.5, abs=0.3)
    assert {op.value for op in found if op.name == "posterize"} <= {0, 1, 2}


@pytest.mark.parametrize("policy", [True, "increasing"])
def test_a_generator_gives_one_image_whatever_the_random_state_of_torch(policy: bool | str) -> None:
    views = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        views.append([randaugment(photo(), np.random.default_rng(i), policy) for i in range(40)])
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(*views, strict=True))
    assert all(view.shape == (3, 48, 64) and view.dtype == torch.uint8 for view in views[0])


def test_the_image_that_is_given_is_left_as_it_is() -> None:
    x = photo()
    before = x.clone()
    for i in range(60):
        for policy in (True, "increasing"):
            randaugment(x, np.random.default_rng(i), policy)
    assert torch.equal(x, before)


def test_no_policy_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    assert randaugment(photo(), rng, False) is not None
    assert rng.random() == np.random.default_rng(0).random()
