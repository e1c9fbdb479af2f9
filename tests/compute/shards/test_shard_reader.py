"""The shard reader: shards are opened once, stay what they were, and some are closed again."""

import os
import resource
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock

import pytest

from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.compute.shards.shard_reader import ShardReader, max_open_shards
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import write_shards


def make_index(folder: Path, samples: int = 60, per_shard: int = 10) -> ShardIndex:
    made = ({"txt": b"x" * 3000, "cls": b"0"} for _ in range(samples))
    return write_shards(folder, made, ["one"], per_shard)


def test_an_open_shard_can_be_read_after_its_file_was_replaced_and_removed(
    tmp_path: Path,
) -> None:
    """Also before its first sample is read, as the read-ahead leaves it."""
    index = make_index(tmp_path)
    shard, path = ShardReader(index).shard(0), index.path(index.entries[0])
    path.with_name("000001.tar").replace(path)
    path.unlink()
    assert shard.read(9, ["txt"]) == {"txt": b"x" * 3000}


def test_an_open_shard_can_be_read_while_another_is_being_opened(tmp_path: Path) -> None:
    reader = ShardReader(make_index(tmp_path))
    shard = reader.shard(0)
    with ThreadPoolExecutor() as threads:
        with reader.opening.setdefault(1, Lock()):  # as a thread that reads its headers
            waits = threads.submit(reader.shard, 1)
            assert threads.submit(reader.shard, 0).result(timeout=10) is shard
            assert not waits.done()
        assert len(waits.result()) == reader.index.entries[1].samples


def test_threads_that_need_the_same_shard_open_it_once(tmp_path: Path) -> None:
    reader, all_at_once = ShardReader(make_index(tmp_path, 500, 500)), Barrier(8)

    def open_first(_: int) -> Shard:
        all_at_once.wait()
        return reader.shard(0)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(open_first, range(8)))) == 1


@pytest.mark.parametrize(("streams", "kept"), [(1, [3, 4, 5]), (2, [0, 1, 2, 3, 4, 5])])
def test_tables_are_kept_up_to_a_number_of_samples_and_three_for_each_stream(
    streams: int, kept: list[int], tmp_path: Path
) -> None:
    """Shards have ten samples; 25 samples are allowed, but never fewer than three shards."""
    reader = ShardReader(make_index(tmp_path), streams)
    reader.recent.max_samples = 25
    for number in range(6):
        reader.shard(number)
    assert list(reader.recent.open) == kept


def open_files(folder: Path) -> int:
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(str(folder) in os.readlink(link) for link in links if os.path.lexists(link))


@pytest.fixture
def reader(tmp_path: Path) -> ShardReader:
    """Six shards were opened; only the last two may stay open."""
    reader = ShardReader(make_index(tmp_path))
    reader.recent.max_open = 2
    for number in range(6):
        reader.shard(number)
    return reader


def test_a_closed_shard_is_opened_again_without_reading_its_headers(reader: ShardReader) -> None:
    assert open_files(reader.index.folder) == 2
    table = reader.recent.closed[0].sample_index
    assert reader.shard(0).sample_index is table
    assert reader.shard(0).read(9, ["txt"]) == {"txt": b"x" * 3000}
    assert list(reader.recent.open) == [5, 0]
    assert list(reader.recent.closed) == [1, 2, 3, 4]
    assert reader.recent.samples == 60


def test_at_most_half_of_the_allowed_files_are_open_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = {}
    for allowed in (resource.RLIM_INFINITY, 1024, 100):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=allowed: (soft, most))
        limits[allowed] = max_open_shards()
    assert limits == {resource.RLIM_INFINITY: 512, 1024: 512, 100: 50}


def test_a_closed_shard_that_was_replaced_is_refused(reader: ShardReader) -> None:
    path = reader.index.path(reader.index.entries[0])
    path.with_name("000001.tar").replace(path)
    with pytest.raises(DataError, match=r"holds other samples: it was replaced"):
        reader.shard(0)


def test_a_shard_that_was_written_to_before_it_was_closed_is_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    reader = ShardReader(index)
    reader.recent.max_open = 1
    reader.shard(0)
    first, second = (index.path(entry) for entry in index.entries[:2])
    with first.open("r+b") as file:
        file.write(second.read_bytes())
    reader.shard(1)
    with pytest.raises(DataError, match=r"holds other samples: it was replaced"):
        reader.shard(0)


def test_a_sample_takes_less_than_a_hundred_bytes_of_memory(tmp_path: Path) -> None:
    make_index(tmp_path, 1000, 1000)
    tracemalloc.start()
    shard = open_shard(tmp_path / "000000.tar")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(shard) == 1000 and taken < 100 * 1000


def test_a_shard_that_changed_since_it_was_indexed_is_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    with open(index.path(index.entries[0]), "ab") as file:
        file.write(bytes(10_240))
    with pytest.raises(DataError, match=r"has [\d,]+ bytes where the index says"):
        ShardReader(index).shard(0)
