"""The loop: batch, loss, step; once in a while a row of metrics, a checkpoint, a look around.

Pre-training, fine-tuning and linear probes all run through `train`.
"""

import contextlib
import inspect
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import Dataset

from hpc_xfer.errors import DataError, Diverged, Interrupted, StoreError
from hpc_xfer.progress import Heartbeat, Pulse
from hpc_xfer.store import RunDir
from hpc_xfer.training.batchnorm import synchronise
from hpc_xfer.training.checkpoint import Checkpoints
from hpc_xfer.training.distributed import World
from hpc_xfer.training.loading import Batch, Loader
from hpc_xfer.training.rows import Rows
from hpc_xfer.training.schedule import learning_rate
from hpc_xfer.training.stop import Stop

_SMOOTHING = 0.98  # of the loss that is reported: a memory of about 50 steps


@dataclass(frozen=True)
class Pace:
    """How a run goes through its steps; `batch` is global."""

    steps: int
    batch: int
    lr: float
    warmup_steps: int
    grad_clip: float | None
    precision: str
    seed: int = 0  # of dropout and the like; data has its own
    broken_allowed: int = 0  # samples


@dataclass(frozen=True)
class Habits:
    """What changes no number: when to save, when to write a row, how to load."""

    checkpoint_seconds: float = 600
    log_steps: int = 20
    workers: int = 0
    tensorboard: bool = False


@dataclass
class Outcome:
    """What a finished training can tell."""

    steps: int = 0
    loss: float = float("nan")  # smoothed
    samples_per_second: float = 0.0
    data_wait_seconds: float = 0.0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


@dataclass
class _State:
    """What a checkpoint holds besides weights and optimiser."""

    step: int = 0
    loss: Tensor | None = None
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    waited: float = 0.0


def train(
    objective: nn.Module,
    optimizer: Optimizer,
    batches: Dataset[Batch],
    pace: Pace,
    habits: Habits,
    run: RunDir,
    checkpoints: Checkpoints | None,
    world: World,
    stop: Stop,
) -> Outcome:
    """Train `objective` in place, from the checkpoint where there is one.

    Raises:
        Interrupted: asked to stop; a checkpoint was written.
        Diverged: loss or weights are NaN or infinite; the last good checkpoint stays.
        DataError: more broken samples than allowed, or a shard that cannot be read on some rank.
        ClaimLost: another process has taken the run over.
    """
    objective = synchronise(objective, world).to(world.device).to(memory_format=torch.channels_last)
    state = _resume(objective, optimizer, checkpoints, world)
    model = parallel(objective, world).train()
    guard = checkpoints.check if checkpoints is not None and world.leads else None
    mine = run if world.leads else None  # rank 0 alone gives signs of life
    heart = Heartbeat(mine, pace.steps, pace.batch, state.step, guard)
    pulse = Pulse(mine, guard)
    steps, pinned = range(state.step, pace.steps), world.device.type == "cuda"
    loader = Loader(batches, steps, habits.workers, pinned, state.waited)
    begun = saved = time.monotonic()
    first, before = state.step, state.waited  # of earlier attempts

    with (
        _own_randomness(world),
        contextlib.closing(Rows(run, habits.tensorboard, world.leads, first)) as rows,
        contextlib.closing(loader.loaded()) as loaded,
    ):
        for batch in loaded:
            due = time.monotonic() - saved > habits.checkpoint_seconds
            asked, due = _agree(batch, stop.requested, due, state, pace, world)

            loss = _step(model, optimizer, batch, state.step, pace, world)
            state.step += 1
            state.waited = loader.waited
            pulse.touch()
            state.loss = loss if state.loss is None else torch.lerp(loss, state.loss, _SMOOTHING)

            if state.step % habits.log_steps == 0 or state.step == pace.steps:
                value = _finite(state, world)
                rate = (state.step - first) * pace.batch / (time.monotonic() - begun)
                rows.write(state.step, value, optimizer.param_groups[0]["lr"], rate, pace.batch)
                heart.beat(state.step, value, loader.waited - before)

            if (asked or due) and state.step < pace.steps:
                elapsed = state.seconds + time.monotonic() - begun
                # The guard judges by it whether another start would lead further.
                heart.beat(state.step, None, loader.waited - before, force=True)
                _save(objective, optimizer, checkpoints, state, elapsed, world)
                saved = time.monotonic()
                if asked:
                    raise Interrupted(f"stopped at step {state.step} of {pace.steps}")

    return _outcome(objective, state, pace, state.seconds + time.monotonic() - begun, world)


def _outcome(
    objective: nn.Module, state: _State, pace: Pace, seconds: float, world: World
) -> Outcome:
    return Outcome(
        steps=state.step,
        loss=_sound(objective, state, world),
        samples_per_second=state.step * pace.batch / max(seconds, 1e-9),
        data_wait_seconds=state.waited,
        seconds=seconds,
        broken=state.broken,
    )


def parallel(objective: nn.Module, world: World) -> nn.Module:
    """Gradients become means over ranks; buffers are equal on all of them without being sent."""
    if world.size == 1:
        return objective
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    unsent: dict[str, Any] = {name: False}  # torch 2.14 renamed it
    return DistributedDataParallel(objective, **unsent)


def _agree(
    batch: Batch, asked: bool, due: bool, state: _State, pace: Pace, world: World
) -> tuple[bool, bool]:
    """Before a step, so that no rank waits in it for another: stop asked anywhere, save anywhere.

    Raises:
        DataError: on all ranks, where one of them got no batch or the broken are too many.
    """
    failures = [batch["failure"]] if "failure" in batch else []
    broken = batch.get("broken", [])
    failed, asked, due, spoilt = world.any(bool(failures), asked, due, bool(broken))
    if failed:
        raise DataError(world.gather(failures)[0])
    if spoilt:
        state.broken += world.gather(broken)
        if len(state.broken) > pace.broken_allowed:
            raise DataError(_too_broken(state.broken, pace.broken_allowed))
    return asked, due


def _sound(objective: nn.Module, state: _State, world: World) -> float:
    """As `_finite`, and the weights too: the loss tells of those before the step."""
    value = _finite(state, world)
    if not math.isfinite(float(nn.utils.get_total_norm(objective.parameters()))):
        raise Diverged(f"the weights are not finite after step {state.step}; lower lr")
    return value


def _finite(state: _State, world: World) -> float:
    """The smoothed loss, a mean over ranks, so that all of them stop together."""
    assert state.loss is not None
    value = float(world.mean(state.loss))
    if not math.isfinite(value):
        raise Diverged(f"the loss is {value} at step {state.step}; lower lr")
    return value


def _step(
    model: nn.Module, optimizer: Optimizer, batch: Batch, step: int, pace: Pace, world: World
) -> Tensor:
    """One update; returns the detached loss."""
    torch.manual_seed(_seed(pace.seed, step, world.rank))
    lr = learning_rate(step, pace.steps, pace.warmup_steps, pace.lr)
    for group in optimizer.param_groups:
        group["lr"] = lr
    tensors = {
        name: value.to(world.device, non_blocking=True)
        for name, value in batch.items()
        if isinstance(value, Tensor)
    }
    with torch.autocast(world.device.type, torch.bfloat16, enabled=pace.precision == "bf16"):
        loss: Tensor = model(tensors)
    loss.backward()
    if pace.grad_clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), pace.grad_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach().float()


@contextlib.contextmanager
def _own_randomness(world: World) -> Iterator[None]:
    """What a step draws depends on its number alone, and the process goes on as if never drawn."""
    devices = [world.device] if world.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.default_rng((seed, 8, step, rank)).integers(2**63))


def _resume(
    objective: nn.Module, optimizer: Optimizer, checkpoints: Checkpoints | None, world: World
) -> _State:
    saved = checkpoints.load() if checkpoints is not None else None
    steps = world.gather([0 if saved is None else int(saved["step"])])
    if len(set(steps)) > 1:
        raise StoreError(f"the ranks see checkpoints of different steps ({steps}); launch again")
    if saved is None:
        return _State()
    objective.load_state_dict(saved["objective"])
    optimizer.load_state_dict(saved["optimizer"])
    losses = saved["losses"]
    mine = losses[world.rank] if len(losses) == world.size else sum(losses) / len(losses)
    loss = torch.tensor(mine, device=world.device)
    return _State(saved["step"], loss, saved["broken"], saved["seconds"], saved["waited"])


def _save(
    objective: nn.Module,
    optimizer: Optimizer,
    checkpoints: Checkpoints | None,
    state: _State,
    seconds: float,
    world: World,
) -> None:
    """Rank 0 writes what is good; the others only say what their loss is."""
    _sound(objective, state, world)
    losses = world.gather([float(state.loss)]) if state.loss is not None else []
    if checkpoints is None or not world.leads:
        return
    checkpoints.save(
        {
            "step": state.step,
            "objective": objective.state_dict(),
            "optimizer": optimizer.state_dict(),
            "losses": losses,
            "broken": state.broken,
            "seconds": seconds,
            "waited": state.waited,
        }
    )


def _too_broken(broken: list[str], allowed: int) -> str:
    return (
        f"{len(broken)} broken samples, {allowed} allowed (max_broken); run `python -m "
        f"hpc_xfer.shards check` on the source; the first: {broken[0]}"
    )
