"""Several GPUs train one model: NCCL, and another number of GPUs after a stop."""

from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.store.store import Store
from hpc_xfer.system.job_environment import ProcessRank
from tests import steps, tiny
from tests.compute.distributed import test_failing_ranks
from tests.compute.gpu.devices import METHODS, needs_two_gpus, tolerances

pytestmark = [pytest.mark.gpu, needs_two_gpus]


def nccl_rank(method: str, parts: int, number: int, size: int, folder: Path) -> None:
    recipe = steps.recipe(method, accumulate=parts)
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        assert world.device == torch.device("cuda", number)
        assert world.max(number == 0, False, number / 8) == [1, 0, 1 / 8]
        stepper = steps.stepper(recipe, world, torch.float64)
        loss = world.mean(stepper.backward(steps.part(recipe, world), 0))
        found = {"loss": loss.cpu(), "gradients": steps.gradients(stepper)}
        torch.save(found, folder / f"{number}.pt")


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_ranks_with_nccl_equal_one_process(method: str, parts: int, tmp_path: Path) -> None:
    recipe = steps.recipe(method, accumulate=parts)
    alone = steps.stepper(recipe, dtype=torch.float64)
    expected = float(alone.backward(steps.global_batch(recipe), 0))
    ranks = [tiny.child(nccl_rank, method, parts, i, 2, tmp_path) for i in range(2)]
    assert tiny.join(ranks) == [0, 0]
    of_loss, of_gradients = tolerances(method)
    for number in range(2):
        found = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        assert float(found["loss"]) == pytest.approx(expected, rel=of_loss)
        assert steps.apart(steps.gradients(alone), found["gradients"]) < of_gradients


@pytest.mark.parametrize("fails", [0, 1])
def test_a_failed_rank_does_not_wait_for_kernels_of_nccl(fails: int, tmp_path: Path) -> None:
    """The other rank may hang in such a kernel; the launcher ends it."""
    store = Store(tmp_path)
    run, shards = tiny.pretraining("supervised"), tiny.source(tmp_path / "sans")
    batch = test_failing_ranks.written(store, run, shards)
    ranks = [tiny.child(test_failing_ranks.rank, i, fails, tmp_path, batch) for i in range(2)]
    assert tiny.join([ranks[fails], ranks[1 - fails]], seconds=60)[0] == 1
    told = {"class": "code", "message": test_failing_ranks.WHY}
    assert test_failing_ranks.told(tmp_path, fails) == told


def trained_in_part(method: str, number: int, size: int, root: Path, looks: int) -> None:
    """Train as one of `size` ranks; rank 0 is asked to stop at its n-th look."""
    place = ProcessRank(rank=number, size=size, local_rank=number)
    stop = tiny.StopAfter(looks if number == 0 else 1000)
    tiny.execute(Store(root / "store"), tiny.pretraining(method), root / "sans", stop, place)


@pytest.mark.parametrize("method", ["clip", "supervised"])
def test_a_run_of_two_gpus_is_resumed_on_one(method: str, tmp_path: Path) -> None:
    """Steps in fp32 differ by rounding, which a small model carries on for four steps."""
    shards, run = tiny.source(tmp_path / "sans"), tiny.pretraining(method)
    store, alone = Store(tmp_path / "store"), Store(tmp_path / "alone")
    ranks = [tiny.child(trained_in_part, method, i, 2, tmp_path, 4) for i in range(2)]
    assert tiny.join(ranks) == [0, 0]
    assert store.run(run.id).checkpoint.exists() and not store.run(run.id).record.exists()
    found = tiny.record(tiny.finished(store, run, shards))["metrics"]
    expected = tiny.record(tiny.finished(alone, run, shards))["metrics"]
    assert [each["ranks"] for each in found["ranks"]] == [2, 1]
    assert found["final_loss"] == pytest.approx(expected["final_loss"], rel=1e-2)
