"""A source as one process reads it: ahead of time, from front to back."""

import itertools
import os
import resource
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from hpc_xfer.compute.shard_tools.pack import write_shards
from hpc_xfer.compute.shards import read_ahead
from hpc_xfer.compute.shards.read_ahead import ReadAhead, ShardReader, prefetch
from hpc_xfer.compute.shards.sample_order import SampleOrder, Subset, share
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.errors import DataError
from tests.waiting import wait_for


def source(folder: Path, samples: int = 60, per_shard: int = 10) -> ShardReader:
    made = ({"txt": b"x" * 3000, "cls": b"0"} for _ in range(samples))
    return ShardReader(write_shards(folder, made, ["one"], per_shard))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Where the read-ahead reads: (from, to) in bytes of a shard, in order."""
    found: list[tuple[int, int]] = []
    preadv = os.preadv

    def recorded(handle: int, buffers: list[memoryview], at: int) -> int:
        found.append((at, at + len(buffers[0])))
        return preadv(handle, buffers, at)

    monkeypatch.setattr(os, "preadv", recorded)
    return found


def test_stretches_are_read_once_in_large_pieces(
    tmp_path: Path, reads: list[tuple[int, int]]
) -> None:
    there = source(tmp_path)
    prefetch(there.shard, [(0, 2, 10), (3, 0, 5)], bytearray(10_000))
    shard = there.shard(0)
    assert reads[0][0] == shard.begins(2)
    first = [piece for piece in reads if piece[0] >= shard.begins(2)][:4]
    assert first == reads[:4]  # the second stretch begins lower in its own shard
    assert all(before[1] == after[0] for before, after in itertools.pairwise(first))
    assert first[-1][1] == shard.ends(9)
    assert reads[4][0] == there.shard(3).begins(0)
    assert reads[-1][1] == there.shard(3).ends(4)


def test_a_worker_reads_no_more_than_its_windows(
    tmp_path: Path, reads: list[tuple[int, int]]
) -> None:
    """Half of an epoch's bytes for one of two ranks, once each."""
    there = source(tmp_path)
    order = SampleOrder(Subset.draw([10] * 6, 60, 0), batch=4, seed=0, window=20)
    ahead = ReadAhead(there, order, share(4, 0, 2))
    for step in range(order.steps_per_epoch):
        ahead.reach(step)
    wait_for(lambda: ahead._queue.empty())
    ahead.close()
    assert ahead._thread is not None
    ahead._thread.join()
    half = 30 * (3000 + 1)
    assert half < sum(after - at for at, after in reads) < 2.5 * half


@pytest.mark.parametrize("step", [0, 4, 5, 7])
def test_a_restart_reads_nothing_again(
    tmp_path: Path, reads: list[tuple[int, int]], step: int
) -> None:
    """What is left of the window of four steps that it falls into, and the next."""
    there = source(tmp_path)
    order = SampleOrder(Subset.draw([10] * 6, 60, 0), batch=5, seed=0, window=20)
    ahead = ReadAhead(there, order, share(5, 0, 1))
    ahead.reach(step)
    wait_for(lambda: ahead._queue.empty())
    ahead.close()
    assert ahead._thread is not None
    ahead._thread.join()
    sample = there.shard(0).begins(1) - there.shard(0).begins(0)
    samples = 5 * (4 - step % 4 + 4)
    assert sample // 2 * samples < sum(after - at for at, after in reads) <= sample * samples


def test_a_missing_shard_is_left_to_its_samples(tmp_path: Path) -> None:
    there = source(tmp_path)
    there.index.path(there.index.entries[0]).unlink()
    prefetch(there.shard, [(0, 0, 10), (1, 0, 10)], bytearray(1000))
    with pytest.raises(DataError, match="cannot be read"):
        there.shard(0)


def test_a_shard_that_was_opened_stays_what_it_was(tmp_path: Path) -> None:
    """Also before its first sample is read, as the read-ahead leaves it."""
    there = source(tmp_path)
    shard, path = there.shard(0), there.index.path(there.index.entries[0])
    path.with_name("000001.tar").replace(path)
    path.unlink()
    assert shard.read(9, ["txt"]) == {"txt": b"x" * 3000}


def test_an_open_shard_is_there_while_another_is_being_opened(tmp_path: Path) -> None:
    """The other is a pipe, which nobody opens for writing, as slow as a disk can be."""
    there = source(tmp_path)
    pipe = tmp_path / "pipe.tar"
    os.mkfifo(pipe)
    entries = (there.index.entries[0], ShardEntry("pipe.tar", 10, 0, ""))
    there = ShardReader(ShardIndex(tmp_path, entries, (), None))
    shard = there.shard(0)
    with ThreadPoolExecutor() as threads:
        waits = threads.submit(there.shard, 1)
        try:
            wait_for(lambda: 1 in there._opening)
            reads = threads.submit(there.shard, 0)
            assert reads.result(timeout=10) is shard
            assert not waits.done()
        finally:
            pipe.open("wb").close()
        with pytest.raises(DataError, match=r"pipe\.tar: cannot be read"):
            waits.result()


def test_threads_that_want_the_same_shard_open_it_once(tmp_path: Path) -> None:
    there, all_at_once = source(tmp_path, 500, 500), Barrier(8)

    def wanted(_: int) -> Shard:
        all_at_once.wait()
        return there.shard(0)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(wanted, range(8)))) == 1


@pytest.mark.parametrize(("lanes", "kept"), [(1, [3, 4, 5]), (2, [0, 1, 2, 3, 4, 5])])
def test_tables_are_kept_by_their_samples_and_for_each_lane(
    lanes: int, kept: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten samples a shard; where 25 are kept, these are no less than three shards of a lane."""
    monkeypatch.setattr(read_ahead, "_SAMPLES", 25)
    there = ShardReader(source(tmp_path).index, lanes)
    for number in range(6):
        there.shard(number)
    assert list(there._open) == kept


def files_held(folder: Path) -> int:
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(str(folder) in os.readlink(link) for link in links if os.path.lexists(link))


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardReader:
    """Six shards were open, of which the last two are."""
    monkeypatch.setattr(read_ahead, "_HELD", 2)
    there = source(tmp_path)
    for number in range(6):
        there.shard(number)
    return there


def test_more_shards_than_files_are_open_costs_a_look_at_the_file_and_no_more(
    closed: ShardReader,
) -> None:
    assert files_held(closed.index.folder) == 2
    table = closed._closed[0].places
    assert closed.shard(0).places is table
    assert closed.shard(0).read(9, ["txt"]) == {"txt": b"x" * 3000}
    assert (list(closed._open), list(closed._closed)) == ([5, 0], [1, 2, 3, 4])
    assert closed._samples == 60


def test_where_files_are_unlimited_or_few_no_more_than_half_are_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    rooms = {}
    for allowed in (resource.RLIM_INFINITY, 1024, 100):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=allowed: (soft, most))
        rooms[allowed] = read_ahead._room()
    assert rooms == {resource.RLIM_INFINITY: 512, 1024: 512, 100: 50}


def test_a_closed_shard_that_another_replaced_is_found(closed: ShardReader) -> None:
    path = closed.index.path(closed.index.entries[0])
    path.with_name("000001.tar").replace(path)
    with pytest.raises(DataError, match=r"holds other samples: it was replaced"):
        closed.shard(0)


def test_a_shard_that_was_written_to_before_it_was_closed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "_HELD", 1)
    there = source(tmp_path)
    there.shard(0)
    first, second = (there.index.path(entry) for entry in there.index.entries[:2])
    with first.open("r+b") as file:
        file.write(second.read_bytes())
    there.shard(1)
    with pytest.raises(DataError, match=r"holds other samples: it was replaced"):
        there.shard(0)


def test_the_table_of_a_sample_takes_less_than_a_hundred_bytes(tmp_path: Path) -> None:
    path = source(tmp_path, 1000, 1000).index.folder / "000000.tar"
    tracemalloc.start()
    shard = open_shard(path)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(shard) == 1000 and taken < 100 * 1000


def test_a_shard_that_changed_since_it_was_indexed_is_named(tmp_path: Path) -> None:
    there = source(tmp_path)
    first = there.index.path(there.index.entries[0])
    with open(first, "ab") as file:
        file.write(bytes(10_240))
    with pytest.raises(DataError, match=r"has [\d,]+ bytes where the index says"):
        ShardReader(ShardIndex(tmp_path, there.index.entries, (), None)).shard(0)
