"""Warm-up, cosine, weight decay, and layer-wise learning rates."""

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.finetuning.classifier import Classifier
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.drop_path import set_drop_path
from hpc_xfer.compute.training.optimizer import adamw, learning_rate, warmup
from hpc_xfer.compute.training.step import Schedule, Stepper
from tests import steps


def test_warm_up_is_at_most_a_tenth_of_the_steps() -> None:
    assert [warmup(500, steps) for steps in (10_000, 5_000, 100, 9, 1)] == [500, 500, 10, 0, 0]
    assert warmup(0, 100) == 0


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [learning_rate(step, 100, 10, 2.0) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == 2.0 and max(rates) == 2.0
    assert rates[55] == pytest.approx(1.0)  # half way down
    assert 0 < rates[-1] < 0.001
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert learning_rate(100, 100, 10, 2.0) == pytest.approx(0)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_run_of_few_steps_begins_at_the_peak(steps: int) -> None:
    assert learning_rate(0, steps, warmup(500, steps), 0.1) == 0.1


def test_matrices_decay_and_biases_norms_and_frozen_weights_do_not() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2), nn.Linear(2, 2))
    module[3].requires_grad_(False)
    optimizer = adamw(module, 0.1, 0.05, (0.9, 0.99), 1e-6)
    decayed, plain = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 2] and decayed["weight_decay"] == 0.05
    assert [p.ndim for p in plain["params"]] == [1, 1, 1, 1] and plain["weight_decay"] == 0
    assert decayed["betas"] == (0.9, 0.99) and decayed["eps"] == 1e-6


def test_a_module_without_biases_has_one_group() -> None:
    assert len(adamw(nn.Linear(2, 2, bias=False), 0.1, 0.1, (0.9, 0.99), 1e-8).param_groups) == 1


def test_without_a_cap_warm_up_may_be_longer_than_the_run() -> None:
    assert warmup(500, 128, cap=False) == 500
    assert learning_rate(127, 128, 500, 1.0) == pytest.approx(128 / 500)  # where the run ends


def test_all_parameters_can_decay() -> None:
    module = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    (group,) = adamw(module, 0.1, 0.05, (0.9, 0.99), 1e-8, decay_all=True).param_groups
    assert [p.ndim for p in group["params"]] == [2, 1, 1, 1] and group["weight_decay"] == 0.05


# Layer-wise learning rates.


def classifier() -> Classifier:
    """A vision transformer of two blocks, so of four layers, with a head that is not zero."""
    model = Classifier(encoders.build(steps.VIT, seed=0, with_text=False), 3, smoothing=0)
    model.head.weight.data += torch.tensor([[1.0], [0.0], [-1.0]])
    steps.stir(model)
    return model


def test_the_learning_rate_halves_from_layer_to_layer() -> None:
    model = classifier()
    optimizer = adamw(model, 0.1, 0.05, (0.9, 0.99), 1e-8, layer_decay=0.5)
    names = {id(p): name.removeprefix("visual.") for name, p in model.named_parameters()}
    groups = [
        (group["lr_scale"], group["weight_decay"], {names[id(p)] for p in group["params"]})
        for group in optimizer.param_groups
    ]
    assert [scale for scale, _, _ in groups] == [0.125, 0.125, 0.25, 0.25, 0.5, 0.5, 1, 1]
    assert [decay for _, decay, _ in groups] == [0.05, 0] * 4
    assert groups[0][2] == {"conv1.weight", "positional_embedding"}
    assert groups[1][2] == {"class_embedding", "ln_pre.weight", "ln_pre.bias"}
    assert "transformer.resblocks.0.mlp.c_fc.weight" in groups[2][2]
    assert "transformer.resblocks.1.ln_2.bias" in groups[5][2]
    assert groups[6][2] == {"proj", "head.weight"}
    assert groups[7][2] == {"ln_post.weight", "ln_post.bias", "head.bias"}
    assert sum(len(found) for _, _, found in groups) == len(names)


def test_a_frozen_encoder_has_groups_for_the_head_alone() -> None:
    model = classifier()
    model.visual.requires_grad_(False)
    groups = adamw(model, 0.1, 0.05, (0.9, 0.99), 1e-8, layer_decay=0.5).param_groups
    assert [group["lr_scale"] for group in groups] == [1, 1]


def stepped(layer_decay: float | None, moves: int = 1) -> tuple[Classifier, Stepper]:
    model = classifier()
    optimizer = adamw(model, 1e-3, 0.1, (0.9, 0.999), 1e-8, layer_decay=layer_decay)
    stepper = Stepper(model, optimizer, SCHEDULE, World())
    for number in range(moves):
        stepper.step(batch(number), number)
    return model, stepper


SCHEDULE = Schedule(steps=8, batch=4, lr=1e-3, warmup_steps=2, grad_clip=None, precision="fp32")


def batch(number: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(number)
    images = torch.randint(256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return {"images": images, "labels": torch.tensor([0, 1, 2, 0])}


def test_each_step_scales_the_learning_rate_of_each_layer() -> None:
    """The first step of Adam moves each weight by the learning rate, here half of the peak."""
    model, stepper = stepped(0.5)
    rates = [group["lr"] for group in stepper.optimizer.param_groups]
    assert rates == [lr for lr in (0.0625e-3, 0.125e-3, 0.25e-3, 0.5e-3) for _ in range(2)]
    start = classifier()
    for name, rate in (("visual.ln_pre.bias", 0.0625e-3), ("visual.ln_post.bias", 0.5e-3)):
        moved = (model.get_parameter(name) - start.get_parameter(name)).abs()
        assert moved.median().item() == pytest.approx(rate, rel=1e-2)


def test_a_decay_of_one_is_none_bit_for_bit() -> None:
    plain, scaled = stepped(None, moves=3)[0], stepped(1.0, moves=3)[0]
    assert steps.equal(plain.state_dict(), scaled.state_dict())


def test_scales_survive_a_checkpoint() -> None:
    whole = stepped(0.5, moves=4)[0]
    state = copy.deepcopy(stepped(0.5, moves=2)[1].state_dict())
    model, stepper = stepped(0.5, moves=0)
    stepper.load_state_dict(state)
    for number in (2, 3):
        stepper.step(batch(number), number)
    assert steps.equal(whole.state_dict(), model.state_dict())


def test_skipped_branches_are_the_same_in_a_resumed_run() -> None:
    def run(first: int, end: int, state: Any = None) -> Any:
        model, stepper = stepped(None, moves=0)
        set_drop_path(model.visual, 0.5)
        if state:
            stepper.load_state_dict(state)
        for number in range(first, end):
            torch.rand(number)  # something else draws in between
            stepper.step(batch(number), number)
        return copy.deepcopy(stepper.state_dict())

    whole = run(0, 5)
    torch.rand(17)
    resumed = run(3, 5, run(0, 3))
    assert steps.equal(whole["objective"], resumed["objective"])
    assert not steps.equal(whole["objective"], stepped(None, moves=5)[0].state_dict())
