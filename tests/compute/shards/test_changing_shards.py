"""Shards that change during a run: it reads on what it opened, or all ranks stop with a reason."""

import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.compute.pretraining.tar_shards import shards

Damage = Callable[[Path], None]


def run() -> Run:
    """Forty steps on 64 samples: every shard is read in every epoch."""
    return tiny.pretraining("supervised", samples=64, samples_seen=640, batch=16)


class DamageAfterStep3(tiny.StopAfter):
    """Damages a file after the third step; never asks to stop."""

    def __init__(self, damage: Damage, path: Path) -> None:
        super().__init__(4)
        self.damage, self.path = damage, path

    @property
    def requested(self) -> bool:
        if super().requested and self.looks == -1:
            self.damage(self.path)
        return False


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    """With a whole shard of the same size, as a copy followed by a rename does."""
    other = path.with_name("000000.tar")
    assert other.stat().st_size == path.stat().st_size
    shutil.copy(other, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def truncate(path: Path) -> None:
    os.truncate(path, 5000)


def overwrite(path: Path) -> None:
    """In place, with the same number of other bytes."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\xaa" * size)


def kill_loaders(path: Path) -> None:
    """As on a node that runs out of memory."""
    for pid in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
        os.kill(pid, signal.SIGKILL)


def run_rank(
    number: int, size: int, root: Path, folders: list[Path], damage: Damage | None, workers: int
) -> None:
    folder = folders[number]
    shard = folder / "000001.tar"
    stop = None if damage is None or number else DamageAfterStep3(damage, shard)
    place = ProcessRank(number, size, number)
    events = tiny.execute(Store(root), run(), folder, stop=stop, place=place, workers=workers)
    if number == 0:
        (root / "event").write_bytes(pickle.dumps(events[-1]))


def last_event(
    root: Path, folders: list[Path], damage: Damage | None, workers: int = 0
) -> dict[str, Any]:
    """Read the last event of rank 0, after all ranks have ended."""
    size = len(folders)
    ranks = [
        tiny.child(run_rank, number, size, root, folders, damage, workers) for number in range(size)
    ]
    codes = tiny.join(ranks)
    assert all(code in (0, 1) for code in codes), codes
    event: dict[str, Any] = pickle.loads((root / "event").read_bytes())
    return event


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("damage", [delete, replace])
def test_an_open_shard_is_read_to_the_end(damage: Damage, size: int, tmp_path: Path) -> None:
    """The content of another file of its name is never used instead."""
    unchanged, changed = shards(tmp_path / "unchanged").folder, shards(tmp_path / "changed").folder
    assert last_event(tmp_path / "a", [unchanged] * size, None)["event"] == "done"
    assert last_event(tmp_path / "b", [changed] * size, damage)["event"] == "done"
    assert tiny.same_weights(*(Store(tmp_path / name).run(run().id) for name in "ab"))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", [truncate, overwrite])
def test_a_shard_that_is_overwritten_stops_all_ranks_and_is_named(
    damage: Damage, workers: int, size: int, tmp_path: Path
) -> None:
    folder = shards(tmp_path / "my source").folder
    event = last_event(tmp_path / "store", [folder] * size, damage, workers)
    assert (event["event"], event["class"]) == ("failed", "data")
    assert "broken samples" in event["message"] and "000001.tar: " in event["message"]
    assert "\n" not in event["message"]
    assert not Store(tmp_path / "store").run(run().id).encoder.exists()


def test_a_shard_replaced_by_one_of_the_same_size_is_refused_at_the_start(tmp_path: Path) -> None:
    """The index, and so the record, describes other samples."""
    index = shards(tmp_path / "my source")
    path = index.path(index.entries[1])
    replace(path)
    ShardIndex.load(index.folder)  # the size alone does not show it
    event = last_event(tmp_path / "store", [index.folder], None)
    assert event["message"] == (
        f"{path}: has the size that the index says, but holds other samples: it was replaced; run "
        f"`python -m hpc_xfer.shards index '{index.folder}'`"
    )


@pytest.mark.parametrize("absent", [0, 1])
def test_a_shard_that_is_absent_on_one_node_stops_all(absent: int, tmp_path: Path) -> None:
    folders = [shards(tmp_path / name).folder for name in "ab"]
    delete(folders[absent] / "000002.tar")
    event = last_event(tmp_path / "store", folders, None)
    assert (event["event"], event["class"]) == ("failed", "data")
    assert event["message"].startswith(f"{folders[absent] / '000002.tar'}: is listed in index.json")


def test_nodes_with_different_indexes_do_not_start(tmp_path: Path) -> None:
    folders = [shards(tmp_path / "a").folder, shards(tmp_path / "b", n=70).folder]
    event = last_event(tmp_path / "store", folders, None)
    assert (event["event"], event["class"]) == ("failed", "data")
    assert event["message"].startswith(f"{folders[0]}: the ranks see different indexes; wait until")


@pytest.mark.parametrize("size", [1, 2])
def test_a_loader_process_that_is_killed_stops_all_ranks(size: int, tmp_path: Path) -> None:
    folder = shards(tmp_path / "source").folder
    event = last_event(tmp_path / "store", [folder] * size, kill_loaders, workers=1)
    assert event["event"] == "failed" and "\n" not in event["message"]
    assert event["class"] == "out of memory"  # another attempt with more memory may succeed
