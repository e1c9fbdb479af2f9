"""Patch dropout: open_clip's numbers, off in evaluation, and the same choice in both forwards."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

from hpc_xfer.compute.models import encoders, flops
from hpc_xfer.compute.models.encoders import seeded
from hpc_xfer.compute.models.patch_dropout import PatchDropout, drop_patches
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Architecture
from hpc_xfer.errors import DataError
from hpc_xfer.study.architecture_costs import tower_costs
from tests import steps
from tests.compiler import compiler_warnings, needs_compiler

ARCH = Architecture(
    embed_dim=16,
    vision_cfg={"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    text_cfg=steps.VIT.text_cfg,
)


def theirs(share: float) -> nn.Module:
    """The image tower that open_clip builds with vision_cfg.patch_dropout."""
    config = {**architectures.model_config(ARCH)["vision_cfg"], "patch_dropout": share}
    made = open_clip.CustomTextCLIP(embed_dim=16, vision_cfg=config, text_cfg=ARCH.text_cfg)
    visual: nn.Module = made.visual
    return visual


def ours(share: float) -> nn.Module:
    visual = encoders.build(ARCH, 0, with_text=False).visual
    drop_patches(visual, share)
    return visual


def images() -> Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("share", [0.5, 0.75, 0.999])
def test_features_and_gradients_are_those_of_open_clip(share: float) -> None:
    one, two = ours(share), theirs(share)
    two.load_state_dict(one.state_dict())  # the same names
    found = []
    for visual in (one, two):
        with seeded(7):
            features = visual.train()(images())
        features.square().sum().backward()
        found.append([features, *(p.grad for p in visual.parameters() if p.grad is not None)])
    assert len(found[0]) == len(found[1]) > 10
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*found, strict=True))


def test_in_evaluation_every_patch_is_seen() -> None:
    plain = encoders.build(ARCH, 0, with_text=False).visual.eval()
    assert torch.equal(ours(0.5).eval()(images()), plain(images()))


def test_an_encoder_without_patches_is_refused() -> None:
    with pytest.raises(DataError, match="this encoder is a ModifiedResNet; remove patch_dropout"):
        drop_patches(encoders.build("RN50", 0, with_text=False).visual, 0.5)


def test_both_forwards_of_a_part_keep_the_same_patches() -> None:
    """And each part, step and seed others."""
    recipe = steps.recipe("clip", arch=ARCH, accumulate=2, patch_dropout=0.5)
    batch = steps.global_batch(recipe)
    batch["images"] = torch.nn.functional.interpolate(batch["images"].float(), 64).byte()
    made: Any = steps.objective(recipe)
    seen: list[Tensor] = []
    made.visual.patch_dropout.register_forward_hook(lambda m, i, out: seen.append(out.detach()))
    stepper = steps.stepper(recipe, made=made)
    stepper.backward(batch, 0)
    assert len(seen) == 4 and seen[0].shape[1] == 1 + 32
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])
    stepper.backward(batch, 1)
    assert not torch.equal(seen[0], seen[4])


@needs_compiler
@compiler_warnings
@pytest.mark.slow
def test_compiled_both_forwards_keep_the_same_patches_too() -> None:
    visual = ours(0.5).train()
    compiled = torch.compile(visual)
    found = []
    for grad in (False, True, True):
        with torch.set_grad_enabled(grad), seeded(3):
            found.append(compiled(images()).detach())
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert torch.equal(found[1], found[2])
    with seeded(4):
        assert not torch.allclose(compiled(images()), found[0], atol=1e-3)


def test_operations_of_the_patches_that_are_left_are_counted() -> None:
    recipe = steps.recipe("clip", arch="ViT-B-32")
    towers = encoders.build("ViT-B-32", 0, with_text=False)
    whole = flops.per_sample(recipe, towers)
    drop_patches(towers.visual, 0.5)
    half = flops.per_sample(recipe, towers)
    assert 0.45 * whole < half < 0.6 * whole
    planned = [tower_costs("ViT-B-32", share).flops for share in (None, 0.5)]
    assert planned[1] / planned[0] == pytest.approx(half / whole, rel=0.05)
    assert isinstance(towers.visual.patch_dropout, PatchDropout)
    assert towers.visual.patch_dropout.training


@pytest.mark.parametrize(
    ("arch", "why"),
    [
        ("RN50", "is a ResNet, which has no patches"),
        ("torchvision/resnet50", "is a ResNet, which has no patches"),
        ("convnext_base", "has an image tower of timm, where patch_dropout is not offered"),
        ("ViT-B-32", None),
        (ARCH, None),
    ],
)
def test_a_plan_knows_which_architectures_have_patches(arch: Any, why: str | None) -> None:
    assert architectures.why_no_patches(arch) == why
