"""The training loop: batch, step, loss; now and then a row of metrics, a hook, a checkpoint.

Pre-training, fine-tuning and linear probes all use `train`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import NoReturn

import torch
from torch import nn
from torch.optim import Optimizer

from hpc_xfer.compute.distributed.global_batchnorm import (
    batchnorm_buffers,
    synchronize,
    take_from_rank_zero,
)
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.compile import compilations_shown
from hpc_xfer.compute.training.gpu_arithmetic import measured_algorithms
from hpc_xfer.compute.training.loading.data_loader import FAILURES, UNSHARED, Batches, BatchLoader
from hpc_xfer.compute.training.loss_average import LossAverage, averaged_steps
from hpc_xfer.compute.training.metrics_log import MetricsLog
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.compute.training.resuming.saved_state import own_losses, why_unfit
from hpc_xfer.compute.training.skipped_samples import BrokenSample, BrokenSamples
from hpc_xfer.compute.training.step import Schedule, Stepper, isolated_rng
from hpc_xfer.compute.training.step_metrics import StepMetrics
from hpc_xfer.errors import AgreedDataError, Diverged, Interrupted, SharedMemoryFull, StoreError
from hpc_xfer.store.heartbeat import Heartbeat, Liveness
from hpc_xfer.store.paths import RunDir

Hook = Callable[[], Mapping[str, float]]  # called by all ranks; its values become a metrics row


@dataclass(frozen=True)
class LoopOptions:
    """Settings that change no number: when to save and to log, how to load and to compute."""

    checkpoint_seconds: float = 600
    log_steps: int = 20
    workers: int = 0  # data loading processes
    tensorboard: bool = False
    compiled: bool = False
    recomputed: bool = False  # activations, in the backward pass
    fixed_sizes: bool = False  # all batches have one size
    flops_per_sample: float | None = None  # forward and backward; for the utilization of a GPU


@dataclass
class TrainResult:
    """Result of a finished training."""

    steps: int = 0
    loss: float = float("nan")  # mean over the last `loss_steps` steps
    loss_steps: int = 0
    samples_per_second: float = 0.0
    data_wait_seconds: float = 0.0
    seconds: float = 0.0
    broken: BrokenSamples = field(default_factory=BrokenSamples)
    worlds: list[tuple[int, int]] = field(default_factory=list)  # (first step, number of ranks)


@dataclass
class _State:
    """Content of a checkpoint besides weights and optimizer."""

    average: LossAverage
    step: int = 0
    broken: BrokenSamples = field(default_factory=BrokenSamples)
    worlds: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0
    waited: float = 0.0  # seconds for data, at each step those of the slowest rank


def train(
    objective: nn.Module,
    optimizer: Optimizer,
    batches: Batches,
    schedule: Schedule,
    options: LoopOptions,
    run: RunDir,
    checkpoints: Checkpoints | None,
    world: World,
    stop: StopSignal,
    at: Mapping[int, Sequence[Hook]] | None = None,
) -> TrainResult:
    """Train `objective` in place, from the checkpoint if there is one.

    Args:
        at: hooks to call after a step, before the checkpoint of that step.

    Raises:
        Interrupted: asked to stop; a checkpoint was written.
        Diverged: loss or weights are NaN or infinite; the last good checkpoint stays.
        AgreedDataError: too many broken samples, or a shard that some rank cannot read.
        SharedMemoryFull: the loading processes of some rank cannot hand over their batches.
        ClaimLost: another process has taken the run over.
        StoreError: the disk is full.
    """
    objective = _placed(objective, schedule, world)
    stepper = Stepper(objective, optimizer, schedule, world, options.compiled, options.recomputed)
    state = _resume(stepper, checkpoints, schedule, world)
    first, waited = state.step, state.waited  # of earlier attempts
    began = time.monotonic() - state.seconds
    saved = time.monotonic()

    loader = BatchLoader(batches, range(first, schedule.steps), options.workers, world.device)
    metrics = StepMetrics(objective, schedule, world, options.flops_per_sample, first, waited)
    log = MetricsLog(run, options.tensorboard, world.is_rank_zero, first, schedule.batch)
    heartbeat, liveness = _signs_of_life(run, checkpoints, schedule, first, world)

    with (
        _own_settings(world, options),
        checkpoints or contextlib.nullcontext(),
        contextlib.closing(log),
        compilations_shown(liveness.touch) if options.compiled else contextlib.nullcontext(),
        contextlib.closing(loader.loaded()) as loaded,
    ):
        for batch in loaded:
            due = _is_due(checkpoints, time.monotonic() - saved, options, world)
            asked, due = _agree(batch, loader.waited, stop.requested, due, state, schedule, world)
            result = stepper.step(batch, state.step)
            state.step += 1
            state.average.add(result.loss)
            liveness.touch()

            if state.step % options.log_steps == 0 or state.step == schedule.steps:
                loss = _finite_loss(state, world)
                stepper.check()
                log.write(state.step, metrics.read(state.step, loss, result, state.waited))
                heartbeat.beat(state.step, loss, state.waited - waited)
            if at and state.step in at:
                _check_finite(objective, state, world)
                _call(at[state.step], state.step, metrics, log)
            if (asked or due) and state.step < schedule.steps:
                heartbeat.beat(state.step, None, state.waited - waited, force=True)
                _save(stepper, checkpoints, state, time.monotonic() - began, world)
                saved = time.monotonic()
                if asked:
                    _interrupt(checkpoints, state.step, schedule.steps)

        return _result(objective, state, schedule, time.monotonic() - began, world)


def _call(hooks: Sequence[Hook], step: int, metrics: StepMetrics, log: MetricsLog) -> None:
    """Call hooks after a step, outside of its measured time, and write down their values."""
    with metrics.paused():
        for hook in hooks:
            log.write(step, hook(), group="probe")


def _is_due(
    checkpoints: Checkpoints | None, seconds: float, options: LoopOptions, world: World
) -> bool:
    """True on rank 0, which saves, if it is time for a checkpoint.

    Where a disk takes longer than the interval, training goes on; nobody waits in a step.
    """
    late = checkpoints is not None and checkpoints.is_late
    return world.is_rank_zero and not late and seconds > options.checkpoint_seconds


def _placed(objective: nn.Module, schedule: Schedule, world: World) -> nn.Module:
    """Move an objective to the device, with batch norms over all ranks if the schedule says so."""
    module = synchronize(objective, world) if schedule.global_norms else objective
    return module.to(world.device).to(memory_format=torch.channels_last)


@contextlib.contextmanager
def _own_settings(world: World, options: LoopOptions) -> Iterator[None]:
    """Restore at the end what a training changes in the process."""
    with isolated_rng(world), measured_algorithms(world.device, options.fixed_sizes):
        yield


def _signs_of_life(
    run: RunDir, checkpoints: Checkpoints | None, schedule: Schedule, first: int, world: World
) -> tuple[Heartbeat, Liveness]:
    """The heartbeat and the liveness of rank 0, which check its claim; without effect on others."""
    if not world.is_rank_zero:
        return Heartbeat(None, schedule.steps, schedule.batch, first), Liveness()
    guard = checkpoints.check if checkpoints is not None else None
    return Heartbeat(run, schedule.steps, schedule.batch, first, guard), Liveness(run, guard)


def _interrupt(checkpoints: Checkpoints | None, step: int, steps: int) -> NoReturn:
    if checkpoints is not None:
        checkpoints.wait()
    raise Interrupted(f"stopped at step {step} of {steps}")


def _result(
    objective: nn.Module, state: _State, schedule: Schedule, seconds: float, world: World
) -> TrainResult:
    """Collect the result, while a last checkpoint may still be on its way to the disk.

    All ranks take part, and none may wait for that.
    """
    return TrainResult(
        steps=state.step,
        loss=_check_finite(objective, state, world),
        loss_steps=min(averaged_steps(schedule.steps), state.step),
        samples_per_second=state.step * schedule.batch / max(seconds, 1e-9),
        data_wait_seconds=state.waited,
        seconds=seconds,
        broken=state.broken,
        worlds=state.worlds,
    )


def _agree(
    batch: Batch,
    waited: float,
    asked: bool,
    due: bool,
    state: _State,
    schedule: Schedule,
    world: World,
) -> tuple[bool, bool]:
    """Agree before a step whether to stop and whether to save, so that no rank waits in a step.

    One rank that is asked to stop is enough, and rank 0 says when to save. The time that the
    slowest rank waited for its data counts for all.

    Raises:
        AgreedDataError: a rank got no batch, or there are too many broken samples.
        SharedMemoryFull: the loading processes of a rank cannot hand over their batches.
    """
    failures = [(key, batch[key]) for key in FAILURES if key in batch]
    broken = batch.get("broken", [])
    waited, *flags = world.max(waited, bool(failures), asked, due, bool(broken))
    any_failed, asked, due, any_broken = map(bool, flags)
    state.waited += waited
    if any_failed:
        key, why = world.gather(failures)[0]
        raise (SharedMemoryFull if key == UNSHARED else AgreedDataError)(why)
    if any_broken:
        told = world.gather([asdict(each) for each in broken])
        state.broken.add(BrokenSample(**each) for each in told)
        allowed = schedule.broken_allowed_by(state.step + 1)
        if state.broken.total > allowed:
            raise AgreedDataError(_too_broken(state.broken, allowed))
    return asked, due


def _check_finite(objective: nn.Module, state: _State, world: World) -> float:
    """Check loss, weights and batch norm statistics, before they are used; return the loss.

    Statistics of single ranks become those of rank 0, here and not in each step: training does not
    read them, and so they are what they would be if they were sent in each step.

    The loss was computed before the last update, so it does not show whether the weights are finite
    now. Nor does it show the running statistics, which only the product uses.

    Raises:
        Diverged: one of them is NaN or infinite.
    """
    loss = _finite_loss(state, world)
    take_from_rank_zero(objective, world)
    if not math.isfinite(float(nn.utils.get_total_norm(objective.parameters()))):
        raise Diverged(f"the weights are not finite after step {state.step}; lower lr")
    if not all(bool(value.isfinite().all()) for value in batchnorm_buffers(objective)):
        raise Diverged(f"batch norm statistics are not finite after step {state.step}; lower lr")
    return loss


def _finite_loss(state: _State, world: World) -> float:
    """The mean of the last losses, averaged over ranks, so that all of them stop together.

    Raises:
        Diverged: it is NaN or infinite.
    """
    loss = float(world.mean(state.average.mean()))
    if not math.isfinite(loss):
        raise Diverged(f"the loss is {loss} at step {state.step}; lower lr")
    return loss


def _resume(
    stepper: Stepper, checkpoints: Checkpoints | None, schedule: Schedule, world: World
) -> _State:
    expected = checkpoints is not None and checkpoints.ahead is not None
    saved = None
    if checkpoints is not None:
        saved = checkpoints.load(lambda state: why_unfit(state, stepper, schedule.steps))
    steps = world.gather([0 if saved is None else int(saved["step"])])
    if len(set(steps)) > 1:
        raise StoreError(f"the ranks see checkpoints of different steps ({steps}); launch again")
    if expected and saved is None:
        _give_up(checkpoints, world)
    before = [] if saved is None else own_losses(saved, world)
    average = LossAverage(schedule.steps, schedule.precision, world.device, before)
    if saved is None:
        return _State(average, worlds=[(0, world.size)])
    stepper.load_state_dict(saved)
    worlds = [(int(step), int(size)) for step, size in saved["worlds"]]
    if worlds[-1][1] != world.size:
        worlds.append((saved["step"], world.size))
    broken = BrokenSamples(**saved["broken"])
    return _State(average, saved["step"], broken, worlds, saved["seconds"], saved["waited"])


def _give_up(checkpoints: Checkpoints | None, world: World) -> NoReturn:
    """End an attempt that left out its initial weights for a checkpoint that does not fit."""
    assert checkpoints is not None
    if world.is_rank_zero:
        checkpoints.check()
        checkpoints.discard()
    raise StoreError(
        f"{checkpoints.run.checkpoint}: does not fit this run, and was removed; launch again to "
        "start from the initial weights"
    )


def _save(
    stepper: Stepper, checkpoints: Checkpoints | None, state: _State, seconds: float, world: World
) -> None:
    """Begin to write a checkpoint on rank 0, if loss and weights are finite; others send a loss."""
    _check_finite(stepper.objective, state, world)
    recent = world.gather([state.average.recent()])
    if checkpoints is None or not world.is_rank_zero:
        return
    checkpoints.begin(
        {
            "step": state.step,
            **stepper.state_dict(),
            "losses": [sum(losses) / max(1, len(losses)) for losses in recent],
            "recent_losses": recent,
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
