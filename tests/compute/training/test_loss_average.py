"""The reported loss: the last steps alone, and a sign of divergence."""

import math
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.training.loss_average import LossAverage, averaged_steps
from hpc_xfer.store.store import Store
from tests import tiny

CPU = torch.device("cpu")


def average_of(*losses: float, steps: int = 1000, precision: str = "fp32") -> LossAverage:
    average = LossAverage(steps, precision, CPU)
    for loss in losses:
        average.add(torch.tensor(loss))
    return average


def test_a_loss_of_50_steps_does_not_contain_the_first_one() -> None:
    """A mean that fades out told 2.28 where the losses had long been 0.0016."""
    losses = [6.25] + [0.0016] * 49
    assert float(average_of(*losses, steps=50).mean()) == pytest.approx(0.0016)


@pytest.mark.parametrize(
    ("steps", "averaged"), [(1, 1), (9, 1), (50, 5), (499, 49), (500, 50), (100_000, 50)]
)
def test_the_mean_is_over_the_last_50_steps_or_a_tenth(steps: int, averaged: int) -> None:
    assert averaged_steps(steps) == averaged
    losses = [float(step) for step in range(steps)]
    found = float(average_of(*losses[-200:], steps=steps).mean())
    assert found == pytest.approx(sum(losses[-averaged:]) / averaged)


def test_before_there_are_so_many_steps_it_is_the_mean_of_all() -> None:
    assert float(average_of(2.0, 4.0).mean()) == 3.0


def test_a_resumed_mean_is_that_of_a_run_that_was_not_stopped() -> None:
    losses = [1 / (1 + step) for step in range(70)]
    whole, before = average_of(*losses), average_of(*losses[:60])
    resumed = LossAverage(1000, "fp32", CPU, before.recent())
    for loss in losses[60:]:
        resumed.add(torch.tensor(loss))
    assert torch.equal(resumed.mean(), whole.mean())
    assert resumed.recent() == whole.recent()


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_one_infinite_loss_is_never_forgotten(bad: float) -> None:
    """Not even when it has left the last steps: the guard may look at every 1,000th step only."""
    for precision in ("fp32", "tf32", "bf16"):
        found = average_of(2.0, bad, *[1.0] * 100, precision=precision)
        assert not found.mean().isfinite()


def test_under_fp16_infinite_losses_do_not_count_unless_there_are_16_in_a_row() -> None:
    average = average_of(2.0, math.nan, math.nan, math.nan, 3.0, precision="fp16")
    assert float(average.mean()) == 2.5
    for _ in range(15):
        average.add(torch.tensor(math.inf))
    assert float(average.mean()) == 2.5
    average.add(torch.tensor(math.inf))
    assert not average.mean().isfinite()


def test_under_fp16_a_first_loss_that_overflows_is_no_loss_yet() -> None:
    average = average_of(math.inf, precision="fp16", steps=9)
    assert not average.mean().isfinite()
    average.add(torch.tensor(2.0))
    average.add(torch.tensor(math.inf))
    assert float(average.mean()) == 2.0


def test_records_tell_over_how_many_steps_a_loss_is_the_mean(tmp_path: Path) -> None:
    store, scratch = Store(tmp_path), tiny.pretraining("scratch")
    tiny.finished(store, scratch)
    folder = tiny.finished(store, tiny.head(scratch, epochs=30, batch=10), log_steps=1)
    metrics = tiny.record(folder)["metrics"]
    assert metrics["steps"] == 150 and metrics["loss_steps"] == 15
    shown = dict(tiny.losses(folder))
    assert metrics["train_loss"] == pytest.approx(shown[150])
    assert metrics["train_loss"] < shown[1]
