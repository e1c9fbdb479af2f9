"""One step of a run: learning rate, forward, backward, clipping, update.

    stepper = Stepper(objective, optimizer, pace, world)
    result = stepper.step(batch, number)

Nothing in it waits for the device: what it returns are tensors, to be read when a row is written.
The exception is torch's: its SyncBatchNorm, between GPUs, makes the host wait in every layer, to
learn how many samples each rank has.
"""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from hpc_xfer.compute.distributed.collectives import mean_in_order
from hpc_xfer.compute.distributed.global_batchnorm import batchnorm_buffers, preserve_statistics
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.training.activation_checkpointing import recompute_blocks
from hpc_xfer.compute.training.compile import compile_in_place
from hpc_xfer.compute.training.gradient_accumulation import divided, joined, split
from hpc_xfer.compute.training.objective import Batch, Contrastive
from hpc_xfer.compute.training.optimizer import learning_rate
from hpc_xfer.errors import Diverged

_SMOOTHING = 0.98  # of the loss that is reported: a memory of about 50 steps
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_BROKEN_AT_ONCE = 1000  # they come in clusters: of a shard, of a site that images are from
_PATIENCE = 16  # infinite losses in a row; as many halvings take the scale from 2^16 to 1
_LEAST_SCALE = 2.0**-14  # gradients of 1e9 do not fit into fp16: those of no run that goes well


@dataclass(frozen=True)
class Schedule:
    """How a run goes through its steps; `batch` is global."""

    steps: int
    batch: int
    lr: float
    warmup_steps: int
    grad_clip: float | None
    precision: str
    seed: int = 0  # of dropout and the like; data has its own
    broken_allowed: int = 0  # samples, in the whole run
    accumulate: int = 1  # parts of a batch, one after another

    def broken_allowed_by(self, step: int) -> int:
        """Samples that may be broken after so many steps: the like share, and always 1,000.

        Of 40 million samples 40,000 may be broken; where one in a hundred is, the run ends after
        100,000 and not after 4 million. Never more than in the whole run.
        """
        so_far = self.broken_allowed * step // self.steps
        return min(self.broken_allowed, max(_BROKEN_AT_ONCE, so_far))


@dataclass(frozen=True)
class StepResult:
    """Detached scalars on the device."""

    loss: Tensor  # of this rank, before the update
    gradient_norm: Tensor  # of the mean over ranks, before clipping; not finite: step left out


class Stepper:
    """Updates `objective` in place; all ranks take the same steps."""

    def __init__(
        self,
        objective: nn.Module,
        optimizer: Optimizer,
        pace: Schedule,
        world: World,
        compiled: bool = False,
        recomputed: bool = False,
    ) -> None:
        """
        Args:
            objective: on the device, with batch norms over all ranks (batchnorm.synchronise).
            compiled: by torch.compile.
            recomputed: activations of residual blocks, in the backward pass, instead of kept.

        Raises:
            DataError: there is no compiler, or no block whose activations can be recomputed.
        """
        self.objective, self.optimizer, self.pace, self.world = objective, optimizer, pace, world
        if compiled:
            compile_in_place(objective, world.device, blocks_only=recomputed)
        if recomputed:
            recompute_blocks(objective)
        static = pace.accumulate == 1 and not compiled
        self.model = parallel(objective, world, static).train()
        self.parameters = [p for p in objective.parameters() if p.requires_grad]
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=pace.precision == "fp16")
        self._overflows = torch.zeros((), dtype=torch.int64, device=world.device)
        self._statistics = batchnorm_buffers(objective) if self.scaler.is_enabled() else []

    def step(self, batch: Batch, number: int) -> StepResult:
        """The update of step `number` (from 0) on this rank's part of the global batch.

        Args:
            batch: its tensors are used, in the order of data/sampling.share.
        """
        lr = learning_rate(number, self.pace.steps, self.pace.warmup_steps, self.pace.lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        before = [value.clone() for value in self._statistics]
        loss = self.backward(batch, number)
        self.scaler.unscale_(self.optimizer)
        limit = math.inf if self.pace.grad_clip is None else self.pace.grad_clip
        norm = self._clipped(limit)
        self._forget_overflow(norm, before)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(loss, norm)

    def backward(self, batch: Batch, number: int) -> Tensor:
        """Leave gradients (under fp16: scaled) in the parameters; returns the detached loss."""
        tensors = {
            name: value.to(self.world.device, non_blocking=True)
            for name, value in batch.items()
            if isinstance(value, Tensor)
        }
        parts = split(tensors, self.pace.accumulate)
        if len(parts) > 1 and isinstance(self.objective, Contrastive):
            return self._backward_through_features(self.objective, parts, number)
        losses = []
        for i, part in enumerate(parts):
            with self._synchronised(i == len(parts) - 1):
                loss = self._forward(self.model, number, i, part) / len(parts)
                self.scaler.scale(loss).backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def smoothed(self, before: Tensor | None, loss: Tensor) -> Tensor:
        """A running mean of the loss; not finite from the first loss on that is not.

        Under fp16, whose steps with infinite gradients are left out, a loss that is not finite is
        passed over, unless 16 of them come in a row.
        """
        if before is None:
            return loss
        after = torch.lerp(loss, before, _SMOOTHING)
        if not self.scaler.is_enabled():
            return after
        finite = loss.isfinite()
        self._overflows = torch.where(finite, 0, self._overflows + 1)
        passed_over = torch.where(self._overflows < _PATIENCE, before, loss)
        return torch.where(finite, torch.where(before.isfinite(), after, loss), passed_over)

    def check(self) -> None:
        """Raises:
        Diverged: gradients do not fit into fp16 at any scale.
        """
        if self.scaler.is_enabled() and self.scaler.get_scale() < _LEAST_SCALE:
            raise Diverged(f"gradients overflow fp16 even times {_LEAST_SCALE}; take bf16")

    def state_dict(self) -> dict[str, Any]:
        """Weights and buffers, optimiser, scaler: what the next step needs."""
        return {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copies into the tensors that are there; other keys are passed over."""
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))

    def _backward_through_features(
        self, objective: Contrastive, parts: list[Batch], number: int
    ) -> Tensor:
        """Each sample stands against the whole global batch (Gao et al. 2021, section 3.2).

        Features of all parts without a graph, the loss of all, its gradient at the features; then
        part by part once more, with that gradient. Both forwards draw the same random numbers.
        """
        with torch.no_grad(), preserve_statistics(objective):
            found = [
                self._forward(objective.features, number, i, part) for i, part in enumerate(parts)
            ]
        features = [joined(each).requires_grad_() for each in zip(*found, strict=True)]
        loss = objective.loss(*features)
        gradients = torch.autograd.grad(self.scaler.scale(loss), features)
        upstream = zip(*(divided(gradient, len(parts)) for gradient in gradients), strict=True)
        for i, (part, given) in enumerate(zip(parts, upstream, strict=True)):
            with self._synchronised(i == len(parts) - 1):
                self._forward(self.model, number, i, part, given).backward()
        return loss.detach()

    def _forward(self, call: Callable[..., Any], number: int, part: int, *arguments: Any) -> Any:
        """An autocast of its own: weights that it casts without a graph are not for the next."""
        device = self.world.device
        _seed(device, (self.pace.seed, 8, number, self.world.rank, part))
        with autocast(device, self.pace.precision):
            return call(*arguments)

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        """Gradients go to the other ranks with the last part."""
        if last or not isinstance(self.model, DistributedDataParallel):
            return nullcontext()
        without: AbstractContextManager[None] = self.model.no_sync()
        return without

    def _forget_overflow(self, norm: Tensor, before: list[Tensor]) -> None:
        """The scaler leaves the update out; what batch norms saw must not stay either.

        One activation beyond 65,504 makes their running variance NaN, and no later step makes it
        finite again. The norm is that of the mean over ranks, so all of them decide alike.
        """
        kept = norm.isfinite()
        for value, old in zip(self._statistics, before, strict=True):
            value.copy_(torch.where(kept, value, old))

    def _clipped(self, limit: float) -> Tensor:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if limit < math.inf:
            nn.utils.clip_grads_with_norm_(self.parameters, limit, norm)
        return norm


def parallel(objective: nn.Module, world: World, static: bool = True) -> nn.Module:
    """Gradients become means over ranks; buffers are equal on all of them without being sent.

    Args:
        static: every forward is followed by a backward and leads through the same parameters.
    """
    if world.size == 1:
        return objective
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    unsent: dict[str, Any] = {name: False}  # torch 2.14 renamed it
    model = DistributedDataParallel(
        objective, gradient_as_bucket_view=True, static_graph=static, **unsent
    )
    if world.device.type == "cpu":
        model.register_comm_hook(world.size, mean_in_order)
    return model


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    dtype = _DTYPES.get(precision)
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


@contextlib.contextmanager
def isolated_rng(world: World) -> Iterator[None]:
    """What a step draws depends on its number alone, and the process goes on as if never drawn."""
    devices = [world.device] if world.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _seed(device: torch.device, entropy: tuple[int, ...]) -> None:
    """As torch.manual_seed, which on a machine without a GPU writes down the stack each time."""
    seed = int(np.random.default_rng(entropy).integers(2**63))
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
