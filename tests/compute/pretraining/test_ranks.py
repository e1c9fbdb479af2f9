"""One model on many processes gives what one process gives on the same global batch."""

import copy
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.loss import SigLipLoss
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.global_batchnorm import synchronize
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.models.encoders import seeded
from hpc_xfer.compute.pretraining.objectives import (
    ClipObjective,
    info_nce,
    nt_xent,
    pairwise_sigmoid,
)
from hpc_xfer.store.store import Store
from hpc_xfer.system.job_environment import ProcessRank
from tests import steps, tiny

METHODS = ("clip", "siglip", "simclr", "supervised")
PARTS = (1, 2)  # accumulate
Found = dict[str, Any]  # loss, gradients, buffers


def found(method: str, dtype: torch.dtype, world: World, parts: int) -> Found:
    """Loss, gradients and buffers of one step on this rank's share, averaged by DDP."""
    recipe = steps.recipe(method, accumulate=parts)
    a = steps.stepper(recipe, world, dtype)
    loss = world.mean(a.backward(steps.part(recipe, world), 0)).cpu()
    return {"loss": loss, "gradients": steps.gradients(a), "buffers": steps.buffers(a)}


def rank(method: str, dtype: torch.dtype, number: int, size: int, folder: Path) -> None:
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        each = {parts: found(method, dtype, world, parts) for parts in PARTS}
        torch.save(each, folder / f"{number}.pt")


def on(ranks: int, target: Callable[..., None], *arguments: Any, folder: Path) -> list[Any]:
    """What each rank saves."""
    folder.mkdir()
    processes = [tiny.child(target, *arguments, i, ranks, folder) for i in range(ranks)]
    assert tiny.join(processes) == [0] * ranks
    return [torch.load(folder / f"{i}.pt", weights_only=True) for i in range(ranks)]


def statistics(found: Found) -> dict[str, Tensor]:
    return {name: value for name, value in found["buffers"].items() if "running" in name}


def distances(one: Found, two: Found) -> tuple[float, float, float]:
    """Of loss, gradients and running statistics, relative."""
    loss = abs(float(two["loss"]) / float(one["loss"]) - 1)
    gradients = steps.apart(one["gradients"], two["gradients"])
    return loss, gradients, steps.apart(statistics(one), statistics(two))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_ranks_change_neither_loss_nor_gradients_nor_statistics(
    method: str, tmp_path: Path
) -> None:
    """Whether the batch goes through at once or in parts, each of them spread over all ranks.

    In double precision to 1e-12. In single precision the loss to 1e-6 and gradients to 1e-5, or to
    what rounding costs, measured by one process against itself in double precision: gradients of
    CLIP and supervised move by 4e-6, of SimCLR with its two more batch norms by 1.4e-5.
    """
    double, single = torch.float64, torch.float32
    exact = {parts: found(method, double, World(), parts) for parts in PARTS}
    alone = {parts: found(method, single, World(), parts) for parts in PARTS}
    for ranks in (2, 4):
        doubles = on(ranks, rank, method, double, folder=tmp_path / f"{ranks}")
        singles = on(ranks, rank, method, single, folder=tmp_path / f"{ranks} single")
        for parts, one in exact.items():
            rounded = alone[parts]
            cost = steps.apart(one["gradients"], rounded["gradients"])
            assert cost < 3e-5
            for each in doubles:
                loss, gradients, moments = distances(one, each[parts])
                assert max(loss, gradients, moments) < 1e-12
            for each in singles:
                loss, gradients, moments = distances(rounded, each[parts])
                assert loss < max(1e-6, 2 * distances(one, rounded)[0])
                assert gradients < max(1e-5, 2 * cost)
                assert moments < 1e-5
                for name, gradient in singles[0][parts]["gradients"].items():
                    assert torch.equal(gradient, each[parts]["gradients"][name])  # no drifting


def towers_rank(method: str, number: int, size: int, folder: Path, shards: Path) -> None:
    place = ProcessRank(number, size, number)
    run = tiny.pretraining(method, lr=1e-4)
    tiny.execute(Store(folder), run, shards, place=place)


@pytest.mark.parametrize("method", METHODS)
def test_a_pretraining_on_two_ranks_is_that_on_one(method: str, tmp_path: Path) -> None:
    shards = tiny.source(tmp_path / "sans")
    run = tiny.pretraining(method, lr=1e-4)
    one = tiny.finished(Store(tmp_path / "one"), run, shards)
    processes = [tiny.child(towers_rank, method, i, 2, tmp_path / "two", shards) for i in range(2)]
    assert tiny.join(processes) == [0, 0]
    two = Store(tmp_path / "two").run(run.id)

    assert tiny.record(one)["provenance"]["ranks"] == 1
    assert tiny.record(two)["provenance"]["ranks"] == 2
    first, second = (tiny.record(each)["metrics"] for each in (one, two))
    # Sums over ranks are rounded otherwise: 1e-5 after two steps, 3e-4 after eight for SimCLR.
    assert second["final_loss"] == pytest.approx(first["final_loss"], rel=1e-3)
    for key in ("samples_seen", "steps", "skipped_samples", "visual_parameters"):
        assert first[key] == second[key]
    assert [step for step, _ in tiny.losses(one)] == [step for step, _ in tiny.losses(two)]
    assert steps.apart(tiny.weights(one), tiny.weights(two)) < 1e-3


# The losses against plain ones.


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


# What a run that goes on needs.


def resumed_rank(number: int, size: int, folder: Path) -> None:
    """Two steps, and the second once more from what the first left."""
    recipe = steps.recipe("supervised")
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        batch, one, two = steps.part(recipe, world), *(steps.stepper(recipe, world) for _ in "12")
        one.step(batch, 0)
        two.load_state_dict(copy.deepcopy(one.state_dict()))
        one.step(batch, 1)
        two.step(batch, 1)
        same = steps.equal(one.objective.state_dict(), two.objective.state_dict())
        torch.save({"same": same}, folder / f"{number}.pt")


def test_the_first_step_of_a_process_adds_gradients_in_the_order_of_all_others(
    tmp_path: Path,
) -> None:
    assert on(4, resumed_rank, folder=tmp_path / "ranks") == [{"same": True}] * 4


def overflowing_rank(number: int, size: int, folder: Path) -> None:
    """In fp16 a step, then one in which an activation of rank 1 alone is beyond 65,504."""
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        with seeded(0):
            made, x = steps.Normed(), torch.randn(8, 4)
        stepper = steps.stepper(steps.recipe("clip", precision="fp16"), world, made=made)
        stepper.step({"x": x}, 0)
        before = copy.deepcopy(made.state_dict())
        stepper.step({"x": x * 1e6 if number == 1 else x}, 1)
        same = steps.equal(made.state_dict(), before)
        torch.save({"same": same, "scale": stepper.scaler.get_scale()}, folder / f"{number}.pt")


def test_a_step_that_overflows_on_one_rank_leaves_no_trace_on_any(tmp_path: Path) -> None:
    kept = {"same": True, "scale": 2.0**15}
    assert on(2, overflowing_rank, folder=tmp_path / "ranks") == [kept, kept]


def test_the_logit_scale_comes_back_from_its_limit() -> None:
    """A clamp inside the graph would cut its gradient off for good."""
    recipe = steps.recipe("clip")
    objective = steps.objective(recipe)
    assert isinstance(objective, ClipObjective)
    objective.logit_scale.data.fill_(9.0)
    objective(steps.global_batch(recipe)).backward()
    assert float(objective.logit_scale.detach()) == pytest.approx(math.log(100))
    assert objective.logit_scale.grad is not None
    assert float(objective.logit_scale.grad) != 0


def test_one_rank_needs_no_other() -> None:
    norm = nn.BatchNorm2d(4)
    assert synchronize(norm, World()) is norm


def test_batch_norm_over_ranks_evaluates_as_any_other() -> None:
    plain, ours = nn.BatchNorm2d(4), synchronize(nn.BatchNorm2d(4), World(size=2))
    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    plain(x)
    ours.load_state_dict(plain.state_dict())
    assert torch.equal(ours.eval()(x), plain.eval()(x))
