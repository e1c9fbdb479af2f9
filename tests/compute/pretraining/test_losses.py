"""Losses against plain ones, on one process and over ranks; and their memory."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.loss import SigLipLoss
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.pretraining.objectives import info_nce, nt_xent, pairwise_sigmoid
from tests import steps
from tests.steps import Found
from tests.tiny import on


def units(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, 7, generator=generator, dtype=torch.float64), dim=-1)


def textbook_info_nce(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Radford et al. 2021, fig. 3, a logit at a time."""
    n, terms = len(image), []
    for i in range(n):
        row = torch.stack([scale * image[i] @ text[j] for j in range(n)])
        column = torch.stack([scale * image[j] @ text[i] for j in range(n)])
        terms += [logits.exp().sum().log() - logits[i] for logits in (row, column)]
    return torch.stack(terms).mean()


def textbook_nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Chen et al. 2020, eq. 1, a pair at a time."""
    z, n, terms = torch.cat([first, second]), len(first), []
    for i in range(2 * n):
        similar = [(z[i] @ z[k] / temperature).exp() for k in range(2 * n)]
        others = torch.stack([similar[k] for k in range(2 * n) if k != i])
        terms.append(-(similar[(i + n) % (2 * n)] / others.sum()).log())
    return torch.stack(terms).mean()


def textbook_sigmoid(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Zhai et al. 2023, eq. 1, a pair at a time."""
    n, terms = len(image), []
    for i in range(n):
        for j in range(n):
            z = 1 if i == j else -1
            terms.append((1 / (1 + (z * -(scale * image[i] @ text[j] + bias)).exp())).log())
    return -torch.stack(terms).sum() / n


LOSSES: dict[str, tuple[Callable[..., Tensor], ...]] = {  # ours, and what it must be
    "clip": (info_nce, textbook_info_nce, open_clip.ClipLoss()),
    "siglip": (partial(pairwise_sigmoid, columns=3), textbook_sigmoid, SigLipLoss()),
    "simclr": (nt_xent, textbook_nt_xent),
}


def inputs(method: str, dtype: torch.dtype, mine: slice = slice(None)) -> list[Tensor]:
    """Features of eight samples, as leaves, and what else a loss takes."""
    others = {"clip": [14.3], "siglip": [10.0, -10.0], "simclr": [0.3]}[method]
    features = [units(8, seed)[mine].to(dtype) for seed in (0, 1)]
    scalars = [torch.tensor(value, dtype=dtype) for value in others]
    return [
        value.requires_grad_(method != "simclr" or value.ndim > 0)
        for value in (*features, *scalars)
    ]


LEAVES = ("first", "second", "scale", "bias")


def of(loss: Tensor, leaves: list[Tensor]) -> Found:
    asked = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = torch.autograd.grad(loss, asked)
    return {"loss": loss.detach(), **dict(zip(LEAVES, gradients, strict=False))}


def loss_rank(method: str, dtype: torch.dtype, number: int, size: int, folder: Path) -> None:
    """Mean loss, and this rank's rows of its gradient; ours and open_clip's ways to gather."""
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        share = 8 // size
        leaves = inputs(method, dtype, slice(number * share, (number + 1) * share))
        losses = {"ours": LOSSES[method][0](*leaves, world)}
        if method == "clip":
            losses |= {f"open_clip {local}": theirs(local, leaves, world) for local in (0, 1)}
        if method == "siglip":
            exchange = SigLipLoss(rank=world.rank, world_size=world.size)
            losses["open_clip"] = exchange(*leaves)
        found = {name: of(loss, leaves) for name, loss in losses.items()}
        for each in found.values():
            each["loss"] = world.mean(each["loss"])
        torch.save(found, folder / f"{number}.pt")


def theirs(local: int, leaves: list[Tensor], world: World) -> Tensor:
    """With the plain global loss on every rank, or the local one; gradients gathered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.distributed.nn is deprecated
        made = open_clip.ClipLoss(
            local_loss=bool(local), gather_with_grad=True, rank=world.rank, world_size=world.size
        )
        loss: Tensor = made(*leaves)
    return loss


@pytest.mark.parametrize("method", LOSSES)
def test_the_losses_are_those_of_their_papers(method: str) -> None:
    ours, *references = LOSSES[method]
    leaves = inputs(method, torch.float64)
    found = of(ours(*leaves, World()), leaves)
    for reference in references:
        expected = of(reference(*leaves), leaves)
        assert float(found["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-12)
        assert steps.apart(expected, found) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("method", LOSSES)
def test_over_ranks_too_whether_logits_are_local_or_global(
    method: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """The mean over ranks, which DistributedDataParallel takes, is what one process finds."""
    limit = 1e-12 if dtype == torch.float64 else 1e-6
    leaves = inputs(method, dtype)
    expected = of(LOSSES[method][1](*leaves), leaves)
    for ranks in (2, 4):
        found = on(ranks, loss_rank, method, dtype, folder=tmp_path / f"{ranks}")
        for way in found[0]:
            whole = {k: over_ranks([each[way][k] for each in found]) for k in expected}
            whole["loss"] = expected["loss"]
            assert steps.apart(expected, whole) < limit
            for each in found:
                assert float(each[way]["loss"]) == pytest.approx(float(expected["loss"]), rel=limit)


def over_ranks(gradients: list[Tensor]) -> Tensor:
    """The gradient of the mean loss: rows one after another, or a scalar that all ranks have."""
    together = torch.cat(gradients) if gradients[0].ndim else torch.stack(gradients).sum()
    return together / len(gradients)


def peak_bytes(loss: Callable[..., Tensor], *arguments: Any) -> int:
    """The most that the tensors of a forward and backward pass take at once."""
    with LiveBytes() as live:
        loss(*arguments).backward()
    return live.peak


class LiveBytes(TorchDispatchMode):
    """Adds up what storages take that an operation made and that are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                self.storages[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        alive = {k: v for k, v in self.storages.items() if not v[0].expired()}
        self.storages = alive
        self.peak = max(self.peak, sum(size for _, size in alive.values()))
        return out


def test_memory_of_the_sigmoid_loss_grows_with_the_batch_and_not_with_its_square() -> None:
    """Four times the batch: four times the memory, where a whole matrix of logits takes sixteen."""

    def bytes_of(n: int, loss: Callable[..., Tensor], *world: World) -> int:
        leaves = [units(n, seed).requires_grad_() for seed in (0, 1)]
        scalars = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (10.0, -10.0)]
        return peak_bytes(loss, *leaves, *scalars, *world)

    ours, theirs = partial(pairwise_sigmoid, columns=64), SigLipLoss()
    assert bytes_of(2048, ours, World()) < 4.2 * bytes_of(512, ours, World())
    assert bytes_of(2048, theirs) > 15 * bytes_of(512, theirs)
