"""One model on many processes gives what one process gives on the same global batch."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.global_batchnorm import synchronize
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.models.encoders import seeded
from hpc_xfer.compute.pretraining.objectives import ClipObjective
from hpc_xfer.store.store import Store
from hpc_xfer.system.job_environment import ProcessRank
from tests import steps, tiny
from tests.steps import Found
from tests.tiny import on

METHODS = ("clip", "siglip", "simclr", "supervised")
PARTS = (1, 2)  # accumulate


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
