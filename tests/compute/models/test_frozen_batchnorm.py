"""Batch norm that keeps the parent's statistics."""

import pytest
import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed.global_batchnorm import batchnorm_buffers
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.frozen_batchnorm import freeze_batchnorm
from tests import steps, tiny


def noise(n: int) -> Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def parent() -> nn.Module:
    """A ResNet with statistics of a few batches, and scales that are not zero."""
    visual = encoders.build(tiny.ARCH, seed=0, with_text=False).visual
    steps.stir(visual)
    visual.train()
    for _ in range(3):
        visual(noise(16))
    return visual


def test_statistics_stay_and_training_gives_what_evaluation_gives() -> None:
    visual = parent()
    before = [value.clone() for value in batchnorm_buffers(visual)]
    expected = visual.eval()(noise(8))
    freeze_batchnorm(visual)
    for _ in range(2):
        assert torch.equal(visual.train()(noise(8)), expected)
        assert torch.equal(visual.eval()(noise(8)), expected)
    assert all(map(torch.equal, before, batchnorm_buffers(visual)))


def test_scales_and_shifts_are_trained() -> None:
    visual = parent()
    freeze_batchnorm(visual)
    visual.train()(noise(8)).square().sum().backward()
    norms = [m for m in visual.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.weight.grad is not None and norm.weight.grad.any() for norm in norms)
    assert all(norm.bias.grad is not None and norm.bias.grad.any() for norm in norms)


def test_a_batch_may_have_one_image() -> None:
    """At 32 px the last stage has one position, which has no variance."""
    visual = parent()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        visual.train()(noise(1))
    freeze_batchnorm(visual)
    assert visual.train()(noise(1)).isfinite().all()


def test_names_stay_and_a_model_without_batch_norm_too() -> None:
    visual = parent()
    names = list(visual.state_dict())
    freeze_batchnorm(visual)
    assert list(visual.state_dict()) == names
    freeze_batchnorm(nn.Linear(2, 2))
