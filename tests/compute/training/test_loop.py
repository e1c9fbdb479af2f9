"""The loop alone, on a model of one layer and batches of noise."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.training.loop import LoopOptions, TrainResult, train
from hpc_xfer.compute.training.optimizer import adamw
from hpc_xfer.compute.training.skipped_samples import BrokenSample
from hpc_xfer.compute.training.step import Schedule
from hpc_xfer.errors import DataError, Diverged
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from tests import tiny

SCHEDULE = Schedule(steps=4, batch=8, lr=1e-3, warmup_steps=0, grad_clip=1.0, precision="fp32")


class Layered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.norm(self.layer(batch["x"]))
        return (out - 1).square().mean()


@dataclass
class Noise:
    size: float = 1.0

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[dict[str, Any]]:
        for step in steps:
            yield self.batch(step)

    def batch(self, step: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(step)
        return {"x": self.size * torch.randn(SCHEDULE.batch, 4, generator=generator)}


def trained(
    folder: Path, batches: Noise, world: World | None = None, schedule: Schedule = SCHEDULE
) -> TrainResult:
    torch.manual_seed(0)
    made = Layered()
    optimizer = adamw(made, 1e-3, 0.1, (0.9, 0.98), 1e-8)
    run = run_in(folder)
    run.path.mkdir(parents=True, exist_ok=True)
    options, world = LoopOptions(log_steps=1), world or World()
    return train(made, optimizer, batches, schedule, options, run, None, world, StopSignal())


@dataclass
class Slow(Noise):
    """Each batch takes 50 ms of work."""

    def batch(self, step: int) -> dict[str, Any]:
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            pass
        return super().batch(step)


def slow_rank(number: int, root: Path) -> None:
    """Rank 1 has slow data; rank 0 writes the metrics."""
    with process_group.join(number, 2, number, root / "meeting.json", StopSignal()) as world:
        outcome = trained(root, Slow() if number == 1 else Noise(), world)
        assert outcome.data_wait_seconds > 4 * 0.05


def test_the_data_wait_is_that_of_the_slowest_rank(tmp_path: Path) -> None:
    ranks = [tiny.child(slow_rank, number, tmp_path) for number in range(2)]
    assert tiny.join(ranks) == [0, 0]
    rows = map(json.loads, run_in(tmp_path).metrics.read_text().splitlines())
    waits = [row["data_wait"] for row in rows]
    assert len(waits) == 4 and min(waits) > 0.05


@dataclass
class Broken(Noise):
    """A number of samples of each step is broken."""

    broken: int = 0

    def batch(self, step: int) -> dict[str, Any]:
        met = [BrokenSample("000000.tar", f"{step}-{i}", "no image") for i in range(self.broken)]
        return {**super().batch(step), "broken": met}


@pytest.mark.parametrize("allowed", [12, 4000])
def test_broken_samples_are_limited_to_their_share_of_the_steps_so_far(
    allowed: int, tmp_path: Path
) -> None:
    """Up to 1,000 may come in one step."""
    quarter, some = allowed // 4, min(allowed, 1000)
    schedule = replace(SCHEDULE, broken_allowed=allowed)
    assert [schedule.broken_allowed_by(step) for step in (1, 2, 4)] == [
        some,
        max(some, 2 * quarter),
        allowed,
    ]
    assert (
        trained(tmp_path / "few", Broken(broken=quarter), schedule=schedule).broken.total == allowed
    )
    with pytest.raises(DataError) as told:
        trained(tmp_path / "many", Broken(broken=some + 1), schedule=schedule)
    assert str(told.value).startswith(
        f"{some + 1} broken samples, {some} allowed so far (max_broken); run `python -m "
    )


def run_in(folder: Path) -> RunDir:
    return Store(folder).run("c0ffee12ab34")


def test_infinite_batch_norm_statistics_are_a_divergence_though_the_loss_is_finite(
    tmp_path: Path,
) -> None:
    """The square of 1e30 is infinite and divides to 0, so the loss is 1 and training goes on."""
    assert trained(tmp_path, Noise()).steps == 4
    with pytest.raises(Diverged) as told:
        trained(tmp_path, Noise(size=1e30))
    assert str(told.value) == "batch norm statistics are not finite after step 4; lower lr"
