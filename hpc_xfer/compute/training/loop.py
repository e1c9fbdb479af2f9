"""The loop: batch, loss, step; once in a while a row of metrics, a checkpoint, a look around.

Pre-training, fine-tuning and linear probes all run through `train`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hpc_xfer.compute.distributed.global_batchnorm import statistics, synchronise
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.data_loader import Batches, BatchLoader
from hpc_xfer.compute.training.metrics_log import MetricsLog
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.compute.training.skipped_samples import BrokenSamples
from hpc_xfer.compute.training.step import Schedule, Stepper, own_randomness
from hpc_xfer.compute.training.step_metrics import StepMetrics
from hpc_xfer.errors import AgreedDataError, Diverged, Interrupted, StoreError
from hpc_xfer.store.heartbeat import Heartbeat, Liveness
from hpc_xfer.store.paths import RunDir

Hook = Callable[[], Mapping[str, float]]  # called by all ranks; what it returns is written as a row


@dataclass(frozen=True)
class LoopOptions:
    """What changes no number: when to save, when to write a row, how to load and to compute."""

    checkpoint_seconds: float = 600
    log_steps: int = 20
    workers: int = 0
    tensorboard: bool = False
    compiled: bool = False
    recomputed: bool = False  # activations, in the backward pass
    flops_per_sample: float | None = None  # forward and backward; for the utilisation of a GPU


@dataclass
class TrainResult:
    """What a finished training can tell."""

    steps: int = 0
    loss: float = float("nan")  # smoothed
    samples_per_second: float = 0.0
    data_wait_seconds: float = 0.0
    seconds: float = 0.0
    broken: BrokenSamples = field(default_factory=BrokenSamples)
    worlds: list[tuple[int, int]] = field(default_factory=list)  # from which step, how many ranks


@dataclass
class _State:
    """What a checkpoint holds besides weights and optimiser."""

    step: int = 0
    loss: Tensor | None = None
    broken: BrokenSamples = field(default_factory=BrokenSamples)
    worlds: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0
    waited: float = 0.0  # seconds for data, at each step those of the rank that had it last


def train(
    objective: nn.Module,
    optimizer: Optimizer,
    batches: Batches,
    pace: Schedule,
    habits: LoopOptions,
    run: RunDir,
    checkpoints: Checkpoints | None,
    world: World,
    stop: StopSignal,
    at: Mapping[int, Sequence[Hook]] | None = None,
) -> TrainResult:
    """Train `objective` in place, from the checkpoint where there is one.

    Args:
        at: what is called after which step, before a checkpoint of that step.

    Raises:
        Interrupted: asked to stop; a checkpoint was written.
        Diverged: loss or weights are NaN or infinite; the last good checkpoint stays.
        AgreedDataError: too many broken samples, or a shard that cannot be read on some rank.
        ClaimLost: another process has taken the run over.
        StoreError: the disk is full.
    """
    objective = synchronise(objective, world).to(world.device).to(memory_format=torch.channels_last)
    stepper = Stepper(objective, optimizer, pace, world, habits.compiled, habits.recomputed)
    state = _resume(stepper, checkpoints, world)
    guard = checkpoints.check if checkpoints is not None and world.is_rank_zero else None
    mine = run if world.is_rank_zero else None  # rank 0 alone gives signs of life
    heart = Heartbeat(mine, pace.steps, pace.batch, state.step, guard)
    pulse = Liveness(mine, guard)
    steps = range(state.step, pace.steps)
    loader = BatchLoader(batches, steps, habits.workers, world.device)
    begun = saved = time.monotonic()
    first, before = state.step, state.waited  # of earlier attempts
    gauges = StepMetrics(objective, pace, world, habits.flops_per_sample, first, before)

    with (
        own_randomness(world),
        checkpoints or contextlib.nullcontext(),
        contextlib.closing(
            MetricsLog(run, habits.tensorboard, world.is_rank_zero, first, pace.batch)
        ) as rows,
        contextlib.closing(loader.loaded()) as loaded,
    ):
        for batch in loaded:
            due = time.monotonic() - saved > habits.checkpoint_seconds
            asked, due = _agree(batch, loader.waited, stop.requested, due, state, pace, world)

            result = stepper.step(batch, state.step)
            state.step += 1
            pulse.touch()
            state.loss = stepper.smoothed(state.loss, result.loss)

            if state.step % habits.log_steps == 0 or state.step == pace.steps:
                value = _finite(state, world)
                stepper.check()
                rows.write(state.step, gauges.read(state.step, value, result, state.waited))
                heart.beat(state.step, value, state.waited - before)

            if at and state.step in at:
                _sound(objective, state, world)
                with gauges.stopped():
                    for hook in at[state.step]:
                        rows.write(state.step, hook(), group="probe")

            if (asked or due) and state.step < pace.steps:
                elapsed = state.seconds + time.monotonic() - begun
                heart.beat(state.step, None, state.waited - before, force=True)
                _save(stepper, checkpoints, state, elapsed, world)
                saved = time.monotonic()
                if asked:
                    if checkpoints is not None:
                        checkpoints.wait()
                    raise Interrupted(f"stopped at step {state.step} of {pace.steps}")

    return _outcome(objective, state, pace, state.seconds + time.monotonic() - begun, world)


def _outcome(
    objective: nn.Module, state: _State, pace: Schedule, seconds: float, world: World
) -> TrainResult:
    return TrainResult(
        steps=state.step,
        loss=_sound(objective, state, world),
        samples_per_second=state.step * pace.batch / max(seconds, 1e-9),
        data_wait_seconds=state.waited,
        seconds=seconds,
        broken=state.broken,
        worlds=state.worlds,
    )


def _agree(
    batch: Batch, waited: float, asked: bool, due: bool, state: _State, pace: Schedule, world: World
) -> tuple[bool, bool]:
    """Before a step, so that no rank waits in it for another: stop asked anywhere, save anywhere.

    All of them have waited for the data of the slowest.

    Raises:
        AgreedDataError: where one of the ranks got no batch or the broken are too many.
    """
    failures = [batch["failure"]] if "failure" in batch else []
    broken = batch.get("broken", [])
    waited, *flags = world.most(waited, bool(failures), asked, due, bool(broken))
    failed, asked, due, spoilt = map(bool, flags)
    state.waited += waited
    if failed:
        raise AgreedDataError(world.gather(failures)[0])
    if spoilt:
        state.broken.add(world.gather(broken))
        allowed = pace.broken_allowed_by(state.step + 1)
        if state.broken.total > allowed:
            raise AgreedDataError(_too_broken(state.broken, allowed))
    return asked, due


def _sound(objective: nn.Module, state: _State, world: World) -> float:
    """As `_finite`, and the weights too: the loss tells of those before the step.

    It tells nothing of running statistics, which training does not read and the product does.
    """
    value = _finite(state, world)
    if not math.isfinite(float(nn.utils.get_total_norm(objective.parameters()))):
        raise Diverged(f"the weights are not finite after step {state.step}; lower lr")
    if not all(bool(seen.isfinite().all()) for seen in statistics(objective)):
        raise Diverged(f"batch norm statistics are not finite after step {state.step}; lower lr")
    return value


def _finite(state: _State, world: World) -> float:
    """The smoothed loss, a mean over ranks, so that all of them stop together."""
    assert state.loss is not None
    value = float(world.mean(state.loss))
    if not math.isfinite(value):
        raise Diverged(f"the loss is {value} at step {state.step}; lower lr")
    return value


def _resume(stepper: Stepper, checkpoints: Checkpoints | None, world: World) -> _State:
    saved = checkpoints.load() if checkpoints is not None else None
    steps = world.gather([0 if saved is None else int(saved["step"])])
    if len(set(steps)) > 1:
        raise StoreError(f"the ranks see checkpoints of different steps ({steps}); launch again")
    if saved is None:
        return _State(worlds=[(0, world.size)])
    stepper.load_state_dict(saved)
    losses = saved["losses"]
    mine = losses[world.rank] if len(losses) == world.size else sum(losses) / len(losses)
    loss = torch.tensor(mine, device=world.device)
    worlds = [(int(step), int(size)) for step, size in saved["worlds"]]
    if worlds[-1][1] != world.size:
        worlds.append((saved["step"], world.size))
    broken = BrokenSamples(**saved["broken"])
    return _State(saved["step"], loss, broken, worlds, saved["seconds"], saved["waited"])


def _save(
    stepper: Stepper,
    checkpoints: Checkpoints | None,
    state: _State,
    seconds: float,
    world: World,
) -> None:
    """Rank 0 begins to write what is good; the others only say what their loss is."""
    _sound(stepper.objective, state, world)
    losses = world.gather([float(state.loss)]) if state.loss is not None else []
    if checkpoints is None or not world.is_rank_zero:
        return
    checkpoints.begin(
        {
            "step": state.step,
            **stepper.state_dict(),
            "losses": losses,
            "broken": asdict(state.broken),
            "worlds": [list(world) for world in state.worlds],
            "seconds": seconds,
            "waited": state.waited,
        }
    )


def _too_broken(broken: BrokenSamples, allowed: int) -> str:
    return (
        f"{broken.total} broken samples, {allowed} allowed so far (max_broken); run `python -m "
        f"hpc_xfer.shards check` on the source; the first: {broken.examples[0]}"
    )
