"""Read-ahead: the shards of the next samples are read early, once, from front to back."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer.compute.shards.read_ahead import ReadAhead, prefetch
from hpc_xfer.compute.shards.sample_order import SampleOrder, share
from hpc_xfer.compute.shards.shard_reader import ShardReader
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import write_shards
from tests.waiting import wait_for


def make_reader(folder: Path) -> ShardReader:
    """Six shards of ten samples."""
    samples = ({"txt": b"x" * 3000, "cls": b"0"} for _ in range(60))
    return ShardReader(write_shards(folder, samples, ["one"], per_shard=10))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Where the read-ahead reads: (start, end) in bytes of a shard, in order."""
    found: list[tuple[int, int]] = []
    preadv = os.preadv

    def recorded(handle: int, buffers: list[memoryview], offset: int) -> int:
        found.append((offset, offset + len(buffers[0])))
        return preadv(handle, buffers, offset)

    monkeypatch.setattr(os, "preadv", recorded)
    return found


def read_all_requested(ahead: ReadAhead) -> None:
    """Wait until all that was requested is read. Private names: a run never waits for this."""
    wait_for(ahead._queue.empty)
    ahead.close()
    assert ahead._thread is not None
    ahead._thread.join()


def bytes_read(reads: list[tuple[int, int]]) -> int:
    return sum(end - start for start, end in reads)


def test_ranges_are_read_once_in_large_pieces(tmp_path: Path, reads: list[tuple[int, int]]) -> None:
    reader = make_reader(tmp_path)
    prefetch(reader.shard, [(0, 2, 10), (3, 0, 5)], bytearray(10_000))
    first, fourth = reader.shard(0), reader.shard(3)
    of_first = [piece for piece in reads if piece[0] >= first.data_start(2)][:4]
    assert of_first == reads[:4]  # the second range starts lower in its own shard
    assert of_first[0][0] == first.data_start(2)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(of_first))
    assert of_first[-1][1] == first.data_end(9)
    assert reads[4][0] == fourth.data_start(0)
    assert reads[-1][1] == fourth.data_end(4)


def test_a_rank_reads_its_own_windows_and_no_others(
    tmp_path: Path, reads: list[tuple[int, int]]
) -> None:
    """One of two ranks reads half of the bytes of an epoch, once each."""
    order = SampleOrder(Subset.draw([10] * 6, 60, 0), batch=4, seed=0, window=20)
    ahead = ReadAhead(make_reader(tmp_path), order, share(4, 0, 2))
    for step in range(order.steps_per_epoch):
        ahead.request(step)
    read_all_requested(ahead)
    half = 30 * (3000 + 1)
    assert half < bytes_read(reads) < 2.5 * half


@pytest.mark.parametrize("step", [0, 4, 5, 7])
def test_a_restart_reads_nothing_again(
    tmp_path: Path, reads: list[tuple[int, int]], step: int
) -> None:
    """It reads what is left of its window of four steps, and the next window."""
    reader = make_reader(tmp_path)
    order = SampleOrder(Subset.draw([10] * 6, 60, 0), batch=5, seed=0, window=20)
    ahead = ReadAhead(reader, order, np.arange(5))
    ahead.request(step)
    read_all_requested(ahead)
    sample = reader.shard(0).data_start(1) - reader.shard(0).data_start(0)
    samples = 5 * (4 - step % 4 + 4)
    assert sample // 2 * samples < bytes_read(reads) <= sample * samples


def test_the_read_ahead_skips_a_missing_shard_and_reading_a_sample_reports_it(
    tmp_path: Path,
) -> None:
    reader = make_reader(tmp_path)
    reader.index.path(reader.index.entries[0]).unlink()
    prefetch(reader.shard, [(0, 0, 10), (1, 0, 10)], bytearray(1000))
    with pytest.raises(DataError, match="cannot be read"):
        reader.shard(0)
