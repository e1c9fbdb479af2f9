"""`batchnorm: per-gpu`: each rank norms its own part, the statistics are those of rank 0."""

from pathlib import Path

import pytest
import torch
from torch import nn

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.global_batchnorm import take_from_rank_zero
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.models import encoders
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.compute.training.stopping import StopTogetherAfter

PER_GPU = {"batchnorm": "per-gpu", "ranks": 2}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")


def of(changes: dict[str, object]) -> Run:
    """A run of eight steps with a snapshot after four."""
    return tiny.pretraining("supervised", lr=1e-3, snapshots=(128,), **changes)


def one_rank(
    changes: dict[str, object],
    number: int,
    size: int,
    root: Path,
    shards: Path,
    stop_after: int | None,
) -> None:
    stop = StopSignal() if stop_after is None else StopTogetherAfter(stop_after)
    probe = {"dataset": "digits", "images": 40, "times": 2}
    place = ProcessRank(number, size, number)
    tiny.execute(Store(root), of(changes), shards, stop, place, probe=probe)


def trained(
    root: Path, shards: Path, changes: dict[str, object], stop_after: int | None = None
) -> RunDir:
    """Train on two ranks."""
    ranks = [tiny.child(one_rank, changes, i, 2, root, shards, stop_after) for i in range(2)]
    assert tiny.join(ranks) == [0, 0]
    return Store(root).run(of(changes).id)


def test_a_resumed_run_ends_bit_for_bit_the_same(tmp_path: Path, shards: Path) -> None:
    """Also with a snapshot and probes, which use the statistics on the way."""
    undisturbed = trained(tmp_path / "undisturbed", shards, PER_GPU)
    assert trained(tmp_path / "stopped", shards, PER_GPU, stop_after=3).checkpoint.exists()
    stopped = trained(tmp_path / "stopped", shards, PER_GPU)
    assert tiny.result(stopped) == tiny.result(undisturbed)
    assert tiny.losses(stopped) == tiny.losses(undisturbed)
    assert tiny.same_weights(stopped, undisturbed)


def test_it_is_another_run_than_with_norms_over_the_whole_batch(
    tmp_path: Path, shards: Path
) -> None:
    own, whole = (trained(tmp_path, shards, changes) for changes in (PER_GPU, {}))
    assert tiny.record(own)["recipe"]["ranks"] == 2 and "ranks" not in tiny.record(whole)["recipe"]
    assert not tiny.same_weights(own, whole)
    _, towers = encoders.load(own.encoder)
    assert any(isinstance(module, nn.BatchNorm2d) for module in towers.visual.modules())


def test_another_number_of_processes_is_refused(tmp_path: Path, shards: Path) -> None:
    told = tiny.execute(Store(tmp_path), of(PER_GPU), shards)[-1]
    assert told["event"] == "failed" and told["class"] == "data"
    assert told["message"] == (
        "batchnorm: per-gpu was planned for 2 processes, which decide the result, and there are 1 "
        "here; run it where there are 2 GPUs, or set resources.pretrain.gpus to 1, which makes "
        "another run"
    )


def sharing_rank(number: int, size: int, folder: Path) -> None:
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        norms = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, affine=False))
        x = torch.arange(12.0).view(4, 3) * (number + 1)
        for _ in range(2):
            norms(x)
        take_from_rank_zero(norms, world)
        torch.save(norms.state_dict(), folder / f"{number}.pt")


def test_all_ranks_take_the_statistics_of_rank_zero(tmp_path: Path) -> None:
    ranks = [tiny.child(sharing_rank, i, 3, tmp_path) for i in range(3)]
    assert tiny.join(ranks) == [0] * 3
    alone = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, affine=False))
    for _ in range(2):
        alone(torch.arange(12.0).view(4, 3))
    for number in range(3):
        found = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        torch.testing.assert_close(found, alone.state_dict(), rtol=0, atol=0)


def test_one_rank_keeps_its_own() -> None:
    norm = nn.BatchNorm1d(3)
    norm(torch.arange(12.0).view(4, 3))
    before = [buffer.clone() for buffer in norm.buffers()]
    take_from_rank_zero(norm, World())
    assert all(map(torch.equal, norm.buffers(), before))
