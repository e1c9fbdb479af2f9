"""Shards that change under a run: it reads on what it opened, or all ranks stop with a sentence."""

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
from tests.compute.pretraining.test_batches import shards

Damage = Callable[[Path], None]


def run() -> Run:
    """Forty steps on 64 samples: each shard is read in each epoch."""
    return tiny.pretraining("supervised", samples=64, samples_seen=640, batch=16)


class Meanwhile(tiny.StopAfter):
    """Something happens to a file after the third step; nobody asks to stop."""

    def __init__(self, happens: Damage, path: Path) -> None:
        super().__init__(4)
        self.happens, self.path = happens, path

    @property
    def requested(self) -> bool:
        if super().requested and self.looks == -1:
            self.happens(self.path)
        return False


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    """By a whole shard of the same size, as a copy to another name and a rename does."""
    other = path.with_name("000000.tar")
    assert other.stat().st_size == path.stat().st_size
    shutil.copy(other, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def truncate(path: Path) -> None:
    os.truncate(path, 5000)


def overwrite(path: Path) -> None:
    """In place, by as many other bytes."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\xaa" * size)


def kill_loaders(path: Path) -> None:
    """As a node does that runs out of memory."""
    for pid in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
        os.kill(pid, signal.SIGKILL)


def of_a_rank(
    number: int, size: int, root: Path, folders: list[Path], happens: Damage | None, workers: int
) -> None:
    folder = folders[number]
    shard = folder / "000001.tar"
    stop = None if happens is None or number else Meanwhile(happens, shard)
    place = ProcessRank(number, size, number)
    told = tiny.execute(Store(root), run(), folder, stop=stop, place=place, workers=workers)
    if number == 0:
        (root / "told").write_bytes(pickle.dumps(told[-1]))


def told_by(
    root: Path, folders: list[Path], happens: Damage | None, workers: int = 0
) -> dict[str, Any]:
    """What rank 0 tells in the end; a rank that waits for ever would not have ended."""
    size = len(folders)
    ranks = [
        tiny.child(of_a_rank, number, size, root, folders, happens, workers)
        for number in range(size)
    ]
    codes = tiny.join(ranks)
    assert all(code in (0, 1) for code in codes), codes
    told: dict[str, Any] = pickle.loads((root / "told").read_bytes())
    return told


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("happens", [delete, replace])
def test_a_shard_that_was_opened_is_read_to_the_end(
    happens: Damage, size: int, tmp_path: Path
) -> None:
    """What another file of its name holds is never taken for it."""
    still, moved = shards(tmp_path / "still").folder, shards(tmp_path / "moved").folder
    assert told_by(tmp_path / "a", [still] * size, None)["event"] == "done"
    assert told_by(tmp_path / "b", [moved] * size, happens)["event"] == "done"
    assert tiny.same_weights(*(Store(tmp_path / name).run(run().id) for name in "ab"))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("happens", [truncate, overwrite])
def test_a_shard_that_is_written_into_stops_all_ranks_with_its_name(
    happens: Damage, workers: int, size: int, tmp_path: Path
) -> None:
    folder = shards(tmp_path / "my source").folder
    told = told_by(tmp_path / "store", [folder] * size, happens, workers)
    assert (told["event"], told["class"]) == ("failed", "data")
    assert "broken samples" in told["message"] and "000001.tar: " in told["message"]
    assert "\n" not in told["message"]
    assert not Store(tmp_path / "store").run(run().id).encoder.exists()


def test_a_shard_that_was_replaced_by_one_of_the_same_size_is_not_begun(tmp_path: Path) -> None:
    """The index, and so the record, tells of other samples."""
    index = shards(tmp_path / "my source")
    path = index.path(index.entries[1])
    replace(path)
    ShardIndex.load(index.folder)  # sizes alone do not tell
    told = told_by(tmp_path / "store", [index.folder], None)
    assert told["message"] == (
        f"{path}: is as large as the index says, but holds other samples: it was replaced; run "
        f"`python -m hpc_xfer.shards index '{index.folder}'`"
    )


@pytest.mark.parametrize("absent", [0, 1])
def test_a_shard_that_one_node_does_not_see_is_named_on_all(absent: int, tmp_path: Path) -> None:
    folders = [shards(tmp_path / name).folder for name in "ab"]
    delete(folders[absent] / "000002.tar")
    told = told_by(tmp_path / "store", folders, None)
    assert (told["event"], told["class"]) == ("failed", "data")
    assert told["message"].startswith(f"{folders[absent] / '000002.tar'}: is listed in index.json")


def test_nodes_that_see_different_indexes_do_not_begin(tmp_path: Path) -> None:
    folders = [shards(tmp_path / "a").folder, shards(tmp_path / "b", n=70).folder]
    told = told_by(tmp_path / "store", folders, None)
    assert (told["event"], told["class"]) == ("failed", "data")
    assert told["message"].startswith(f"{folders[0]}: the ranks see different indexes; wait until")


@pytest.mark.parametrize("size", [1, 2])
def test_a_loader_process_that_is_killed_stops_all_ranks(size: int, tmp_path: Path) -> None:
    folder = shards(tmp_path / "source").folder
    told = told_by(tmp_path / "store", [folder] * size, kill_loaders, workers=1)
    assert told["event"] == "failed" and "\n" not in told["message"]
    assert told["class"] == "out of memory"  # which another start with more of it may mend
