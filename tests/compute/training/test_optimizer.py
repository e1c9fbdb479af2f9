"""Warm-up, cosine, and weight decay."""

import itertools

import pytest
from torch import nn

from hpc_xfer.compute.training.optimizer import adamw, learning_rate, warmup


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
