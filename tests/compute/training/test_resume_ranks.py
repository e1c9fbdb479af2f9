"""Resume a run on several ranks: the same number gives the same bits, others the same samples."""

from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import steps, tiny
from tests.compute.training.stopping import StopTogetherAfter


def run() -> Run:
    """A run of three epochs of seven steps; four samples of each epoch are dropped."""
    return tiny.pretraining("supervised", samples=228, samples_seen=32 * 21, lr=1e-4)


def one_rank(number: int, size: int, root: Path, shards: Path, stop_after: int | None) -> None:
    stop = StopSignal() if stop_after is None else StopTogetherAfter(stop_after)
    place = ProcessRank(number, size, number)
    tiny.execute(Store(root), run(), shards, stop=stop, place=place, workers=number)


def trained(root: Path, shards: Path, size: int, stop_after: int | None = None) -> RunDir:
    """Train on `size` ranks; rank i has i loading processes."""
    if size == 1:
        stop = None if stop_after is None else tiny.StopAfter(stop_after + 1)  # the worker looks
        tiny.execute(Store(root), run(), shards, stop=stop)
    else:
        ranks = [tiny.child(one_rank, i, size, root, shards, stop_after) for i in range(size)]
        assert tiny.join(ranks) == [0] * size
    return Store(root).run(run().id)


def test_on_the_same_number_of_ranks_a_resumed_run_ends_bit_for_bit_the_same(
    tmp_path: Path, shards: Path
) -> None:
    """Stopped in the middle of the first epoch, and of the second."""
    undisturbed = trained(tmp_path / "undisturbed", shards, 2)
    for at in (4, 5):
        assert trained(tmp_path / "stopped", shards, 2, stop_after=at).checkpoint.exists()
    stopped = trained(tmp_path / "stopped", shards, 2)
    assert tiny.result(stopped) == tiny.result(undisturbed)
    assert tiny.losses(stopped) == tiny.losses(undisturbed)
    assert tiny.same_weights(stopped, undisturbed)


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_on_another_number_of_ranks_a_resumed_run_continues_with_the_next_sample(
    first: int, then: int, tmp_path: Path, shards: Path
) -> None:
    """Other sums over ranks change weights by 3e-5; other samples would change them by 1e-3."""
    undisturbed = trained(tmp_path / "undisturbed", shards, 1)
    assert trained(tmp_path / "moved", shards, first, stop_after=9).checkpoint.exists()
    moved = trained(tmp_path / "moved", shards, then)
    assert metrics(moved)["ranks"] == [
        {"from_step": 0, "ranks": first},
        {"from_step": 10, "ranks": then},
    ]
    assert metrics(undisturbed)["ranks"] == [{"from_step": 0, "ranks": 1}]
    assert metrics(moved)["samples_seen"] == metrics(undisturbed)["samples_seen"]
    assert steps.apart(tiny.weights(moved), tiny.weights(undisturbed)) < 2e-4


def test_the_record_says_which_data_was_read_and_dropped(tmp_path: Path, shards: Path) -> None:
    record = tiny.record(trained(tmp_path, shards, 1))
    assert record["metrics"]["dropped_per_epoch"] == 228 % 32
    data = record["provenance"]["data"]
    assert data["source"] == ShardIndex.load(shards).fingerprint
    assert data["shards"] == 3 and len(data["subset"]) == 64


def metrics(folder: RunDir) -> dict[str, Any]:
    content: dict[str, Any] = tiny.record(folder)["metrics"]
    return content
