"""One training step: learning rate, forward, backward, clipping, update.

    stepper = Stepper(objective, optimizer, schedule, world)
    result = stepper.step(batch, number)

Nothing here waits for the GPU: results are tensors, read only when metrics are logged. Under fp16
the fused AdamW reads on the GPU whether gradients are finite.
"""

import contextlib
import inspect
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
from hpc_xfer.compute.training.gpu_arithmetic import autocast, products
from hpc_xfer.compute.training.gradient_accumulation import divided, joined, split
from hpc_xfer.compute.training.objective import Batch, Contrastive
from hpc_xfer.compute.training.optimizer import learning_rate
from hpc_xfer.errors import Diverged

_BROKEN_AT_ONCE = 1000  # broken samples come in clusters: one shard, one website
_LEAST_SCALE = 2.0**-14  # at this scale, gradients of 1e9 overflow; no healthy run has them


@dataclass(frozen=True)
class Schedule:
    """Length, learning rate and precision of a run; `batch` is global, over all ranks."""

    steps: int
    batch: int
    lr: float
    warmup_steps: int
    grad_clip: float | None
    precision: str
    seed: int = 0  # of dropout and the like; the data has its own seed
    broken_allowed: int = 0  # samples, in the whole run
    accumulate: int = 1  # parts of a batch that go through one after another
    global_norms: bool = True  # batch norms count all ranks; else each its own part

    def broken_allowed_by(self, step: int) -> int:
        """Number of broken samples allowed up to a step: a proportional share, at least 1,000.

        With 40,000 broken samples allowed in 40 million, a run in which every hundredth sample is
        broken ends after 100,000 samples, not after 4 million. Never more than in the whole run.
        """
        share = self.broken_allowed * step // self.steps
        return min(self.broken_allowed, max(_BROKEN_AT_ONCE, share))


@dataclass(frozen=True)
class StepResult:
    """Detached scalars on the device."""

    loss: Tensor  # of this rank, before the update
    gradient_norm: Tensor  # of the mean over ranks, before clipping; not finite: step skipped


class Stepper:
    """Update `objective` in place; all ranks take the same steps."""

    def __init__(
        self,
        objective: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        world: World,
        compiled: bool = False,
        recomputed: bool = False,
    ) -> None:
        """
        Args:
            objective: on the device, its batch norms synchronized over ranks (global_batchnorm).
            compiled: use torch.compile.
            recomputed: recompute the activations of residual blocks in the backward pass.

        Raises:
            DataError: there is no compiler, or no block whose activations can be recomputed.
        """
        self.objective, self.optimizer = objective, optimizer
        self.schedule, self.world = schedule, world
        if compiled:
            compile_in_place(objective, world.device, blocks_only=recomputed)
        if recomputed:
            recompute_blocks(objective)
        static = schedule.accumulate == 1 and not compiled
        self.model = parallel(objective, world, static).train()
        self.parameters = [p for p in objective.parameters() if p.requires_grad]
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=schedule.precision == "fp16")
        self._statistics = batchnorm_buffers(objective) if self.scaler.is_enabled() else []

    def step(self, batch: Batch, number: int) -> StepResult:
        """Do the update of step `number` (from 0) with this rank's part of the global batch.

        Args:
            batch: its tensors are used, with samples in the order of shards/sample_order.share.
        """
        schedule = self.schedule
        lr = learning_rate(number, schedule.steps, schedule.warmup_steps, schedule.lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        before = [value.clone() for value in self._statistics]

        loss = self.backward(batch, number)

        self.scaler.unscale_(self.optimizer)
        norm = _clip(self.parameters, schedule.grad_clip)
        _restore_after_overflow(self._statistics, before, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(loss, norm)

    def backward(self, batch: Batch, number: int) -> Tensor:
        """Leave gradients (scaled, under fp16) in the parameters; return the detached loss."""
        tensors = {
            name: value.to(self.world.device, non_blocking=True)
            for name, value in batch.items()
            if isinstance(value, Tensor)
        }
        parts = split(tensors, self.schedule.accumulate)
        with products(self.world.device, self.schedule.precision):
            if len(parts) > 1 and isinstance(self.objective, Contrastive):
                return self._backward_through_features(self.objective, parts, number)
            return self._backward_by_part(parts, number)

    def check(self) -> None:
        """Raises:
        Diverged: gradients do not fit into fp16 at any scale.
        """
        if self.scaler.is_enabled() and self.scaler.get_scale() < _LEAST_SCALE:
            raise Diverged(
                f"gradients overflow fp16 even when the loss is scaled by {_LEAST_SCALE}; set "
                "precision to bf16"
            )

    def state_dict(self) -> dict[str, Any]:
        """Weights, buffers, optimizer and scaler: all that the next step needs."""
        return {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy into the existing tensors; ignore other keys."""
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))

    def _backward_by_part(self, parts: list[Batch], number: int) -> Tensor:
        losses = []
        for i, part in enumerate(parts):
            with self._synchronized(i == len(parts) - 1):
                loss = self._forward(self.model, number, i, part) / len(parts)
                self.scaler.scale(loss).backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _backward_through_features(
        self, objective: Contrastive, parts: list[Batch], number: int
    ) -> Tensor:
        """Compare each sample with the whole global batch (Gao et al. 2021, section 3.2).

        First the features of all parts, without a graph; then the loss of all of them and its
        gradient at the features; then each part a second time, with that gradient. Both forwards
        of a part draw the same random numbers.
        """
        with torch.no_grad(), preserve_statistics(objective):
            found = [
                self._forward(objective.features, number, i, part) for i, part in enumerate(parts)
            ]
        features = [joined(each).requires_grad_() for each in zip(*found, strict=True)]
        loss = objective.loss(*features)
        gradients = torch.autograd.grad(self.scaler.scale(loss), features)
        by_part = zip(*(divided(gradient, len(parts)) for gradient in gradients), strict=True)
        for i, (part, given) in enumerate(zip(parts, by_part, strict=True)):
            with self._synchronized(i == len(parts) - 1):
                self._forward(self.model, number, i, part, given).backward()
        return loss.detach()

    def _forward(self, call: Callable[..., Any], number: int, part: int, *arguments: Any) -> Any:
        """Call under autocast, with random numbers of this step, rank and part.

        One autocast per call: the weights that it casts without a graph must not be used again.
        """
        device = self.world.device
        _seed(device, (self.schedule.seed, 8, number, self.world.rank, part))
        with autocast(device, self.schedule.precision):
            return call(*arguments)

    def _synchronized(self, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients between ranks in the last part only."""
        if last or not isinstance(self.model, DistributedDataParallel):
            return nullcontext()
        without: AbstractContextManager[None] = self.model.no_sync()
        return without


def _clip(parameters: list[nn.Parameter], limit: float | None) -> Tensor:
    """Scale gradients down to a norm of `limit`; return the norm before."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if limit is not None:
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm


def _restore_after_overflow(statistics: list[Tensor], before: list[Tensor], norm: Tensor) -> None:
    """Restore batch norm statistics where the scaler is about to skip the update.

    One activation beyond 65,504 makes a running variance NaN, and no later step makes it finite
    again. The norm is that of the mean over ranks, so all ranks decide alike.
    """
    finite = norm.isfinite()
    for value, old in zip(statistics, before, strict=True):
        value.copy_(torch.where(finite, value, old))


def parallel(objective: nn.Module, world: World, static: bool = True) -> nn.Module:
    """Average gradients over ranks. Buffers are not sent: they are equal on all ranks, or those of
    rank 0 count, and they reach the others when they are used.

    Args:
        static: each forward is followed by one backward and uses the same parameters.
    """
    if world.size == 1:
        return objective
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    unsent: dict[str, Any] = {name: False}  # torch 2.14 renamed the option
    model = DistributedDataParallel(
        objective, gradient_as_bucket_view=True, static_graph=static, **unsent
    )
    if world.device.type == "cpu":
        model.register_comm_hook(world.size, mean_in_order)
    return model


@contextlib.contextmanager
def isolated_rng(world: World) -> Iterator[None]:
    """Restore the random state of the process at the end: a step's draws depend on its number."""
    devices = [world.device] if world.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _seed(device: torch.device, entropy: tuple[int, ...]) -> None:
    """Seed as torch.manual_seed does, which without a GPU also formats the stack at each call."""
    seed = int(np.random.default_rng(entropy).integers(2**63))
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
