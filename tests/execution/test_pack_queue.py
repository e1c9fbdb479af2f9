"""The packs that wait on this machine: no run is queued again for ever."""

from pathlib import Path

from hpc_xfer.config.site import Site
from hpc_xfer.execution.pack_queue import PackQueue
from hpc_xfer.store.launched_study import LaunchedStudy
from tests import fabricated


def queue_of(folder: Path) -> PackQueue:
    study, plan, store = fabricated.make(folder, fabricated.ONE_CELL)
    return PackQueue(LaunchedStudy(study, plan, store, Site(), None), plan)


def test_a_run_that_is_queued_again_and_again_is_given_up(tmp_path: Path) -> None:
    """As one whose workers die in turn, or whose claims come and go."""
    packs = queue_of(tmp_path)
    run = fabricated.make(tmp_path, fabricated.ONE_CELL)[1].runs[0]
    assert [packs.put_back([run]) for _ in range(6)] == [[], [], [], [], [], [run]]


def test_a_run_counts_anew_after_another_has_ended(tmp_path: Path) -> None:
    packs = queue_of(tmp_path)
    first, *others = fabricated.make(tmp_path, fabricated.ONE_CELL)[1].runs
    for other in others:
        assert [packs.put_back([first]) for _ in range(5)] == [[]] * 5
        packs.finish(other.id)
    assert packs.put_back([first]) == []


def test_two_silent_workers_are_enough(tmp_path: Path) -> None:
    packs = queue_of(tmp_path)
    assert [packs.is_silent_again("c0ffee12ab34") for _ in range(2)] == [False, True]
