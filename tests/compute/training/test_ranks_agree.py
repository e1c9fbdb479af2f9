"""Ranks stop together, and go on from the same checkpoint or not at all."""

from pathlib import Path

import pytest

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.finetuning.cache import FinetuneCache
from hpc_xfer.compute.pretraining.task import pretrain
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.store.ownership.run_claims import Claim
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.compute.training.stopping import StopTogetherAfter, a, step_of, stopped


def two_ranks(number: int, root: Path, run: Run, shards: Path, stop_on: int) -> None:
    stop = StopTogetherAfter(2) if number == stop_on else StopSignal()
    tiny.execute(Store(root), run, shards, stop=stop, place=ProcessRank(number, 2, number))


def test_a_stop_request_to_one_rank_stops_all(tmp_path: Path, shards: Path) -> None:
    run = a("supervised")
    for stop_on, step in ((1, 3), (0, 6), (-1, None)):
        ranks = [tiny.child(two_ranks, i, tmp_path, run, shards, stop_on) for i in range(2)]
        assert tiny.join(ranks) == [0, 0]
        folder = Store(tmp_path).run(run.id)
        if step is not None:
            assert step_of(folder.checkpoint) == step
    assert tiny.record(folder)["metrics"]["steps"] == 8
    alone = tiny.finished(Store(tmp_path / "alone"), run, shards)
    assert [s for s, _ in tiny.losses(folder)] == [s for s, _ in tiny.losses(alone)]


def one_of_two(number: int, root: Path, run: Run, shards: Path) -> None:
    """Rank 1 sees an older store, as a network file system may show it."""
    place = root / ("old" if number else "new")
    meeting = root / "meeting.json"
    with process_group.join(number, 2, number, meeting, StopSignal()) as world:
        claim = Claim(Store(place).run(run.id).claims, 9) if number == 0 else None
        site = tiny.Site(sources={"sans": str(shards)})
        stop, cache = StopSignal(), FinetuneCache()
        context = RunContext(run, Store(place), site, claim, tiny.PRETRAIN, world, stop, cache)
        with pytest.raises(Exception, match=r"see checkpoints of different steps \(\[5, 4\]\)"):
            pretrain(context)


def test_ranks_that_see_different_checkpoints_all_fail(tmp_path: Path, shards: Path) -> None:
    run = a("supervised")
    for name, steps in (("new", 5), ("old", 4)):
        stopped(tmp_path / name, run, shards, steps)
    ranks = [tiny.child(one_of_two, i, tmp_path, run, shards) for i in range(2)]
    assert tiny.join(ranks) == [0, 0]
