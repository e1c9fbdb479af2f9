"""Cached sample indexes: opening a shard reads no headers, if the cache fits the file."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.compute.shards.shard_reader import ShardReader
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import write_shards
from tests.tars import write_tar


def make_index(folder: Path) -> ShardIndex:
    """Two shards of the same size: 100 samples of 30 kB each."""
    made = ({"jpg": bytes([i]) * 30_000, "txt": f"{i:03d}".encode()} for i in range(200))
    return write_shards(folder, made, None, per_shard=100)


def cached(index: ShardIndex, number: int = 0) -> Path:
    return shard_index.sample_index_path(index.folder, index.entries[number].name)


def bytes_read() -> int:
    """All that this process has read since it started."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].removeprefix("rchar: "))


def test_opening_a_shard_reads_its_cached_index_and_a_few_blocks(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    before = bytes_read()
    shard = ShardReader(index).shard(0)
    assert bytes_read() - before < 30_000 < index.entries[0].bytes / 100
    assert shard.read(7) == {"jpg": b"\x07" * 30_000, "txt": b"007"}


def test_a_cached_index_equals_the_one_from_the_headers(tmp_path: Path) -> None:
    write_tar(tmp_path / "part/0.tar", [("a.b.txt", b"1"), ("a.png", b"0"), ("\udcff.txt", b"2")])
    write_tar(tmp_path / "part/1.tar", [("x" * 150 + ".txt", b"3"), ("README", b"no sample")])
    write_tar(tmp_path / "part/2.tar", [])
    index = index_folder(tmp_path).index
    for entry in index.entries:
        known, read = sample_index_cache.open_cached(tmp_path, entry), open_shard(index.path(entry))
        assert known is not None
        assert list(known.keys) == list(read.keys)
        assert list(known.members) == list(read.members)
        assert known.layout == read.layout


def lose(index: ShardIndex) -> None:
    cached(index).unlink()


def cut(index: ShardIndex) -> None:
    os.truncate(cached(index), 900)


def swap(index: ShardIndex) -> None:
    """As happens when other shards are copied into the folder."""
    cached(index, 1).replace(cached(index))


def garble(index: ShardIndex) -> None:
    data = bytearray(cached(index).read_bytes())
    data[-8] ^= 1
    cached(index).write_bytes(data)


def empty(index: ShardIndex) -> None:
    cached(index).write_bytes(b"{}\n")


def pipe(index: ShardIndex) -> None:
    cached(index).unlink()
    os.mkfifo(cached(index))


@pytest.mark.parametrize("damage", [lose, cut, swap, garble, empty, pipe])
def test_the_headers_are_read_where_no_cached_index_fits(
    damage: Callable[[ShardIndex], None], tmp_path: Path
) -> None:
    index = make_index(tmp_path)
    damage(index)
    assert sample_index_cache.open_cached(tmp_path, index.entries[0]) is None
    assert ShardReader(index).shard(0).read(99, ["txt"]) == {"txt": b"099"}


def test_the_headers_are_read_where_the_index_is_of_an_older_version(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    older = tuple(replace(entry, layout=None) for entry in index.entries)
    assert sample_index_cache.open_cached(tmp_path, older[0]) is None
    assert len(ShardReader(replace(index, entries=older)).shard(0)) == 100


def test_another_shard_of_the_same_size_is_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    index.path(index.entries[1]).replace(index.path(index.entries[0]))
    with pytest.raises(DataError, match="it was replaced"):
        ShardReader(index).shard(0)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_shard_that_another_was_partly_copied_over_is_refused(
    share: float, tmp_path: Path
) -> None:
    """The headers of both have the same offsets, so it is still a tar."""
    index = make_index(tmp_path)
    one, two = (index.path(entry) for entry in index.entries)
    with one.open("r+b") as file:
        file.write(two.read_bytes()[: int(share * index.entries[1].bytes)])
    with pytest.raises(DataError, match=r"holds 101 samples where the index says 100"):
        ShardReader(index).shard(0)


def test_shards_are_indexed_where_the_cache_cannot_be_written(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("0.txt", b"1")])
    (tmp_path / shard_index.SAMPLE_INDEX_FOLDER).write_bytes(b"in the way")
    index = index_folder(tmp_path).index
    assert ShardReader(index).shard(0).read(0) == {"txt": b"1"}


def test_cached_indexes_of_absent_shards_are_removed(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    (cached(index).parent / ".000000.tar.places.7.tmp").write_bytes(b"of a process that was killed")
    index.path(index.entries[1]).unlink()
    index_folder(tmp_path)
    assert list(cached(index).parent.iterdir()) == [cached(index)]


def test_a_cache_of_an_older_version_does_not_hide_a_tail_that_was_never_written(
    tmp_path: Path,
) -> None:
    """Older versions took the first block of zeros for the end, and cached what lies before it."""
    index = make_index(tmp_path)
    entry = index.entries[0]
    path = index.path(entry)
    known = open_shard(path).sample_index
    os.truncate(path, entry.bytes + 200_000)
    sample_index_cache.write(tmp_path, entry.name, Shard(path, known))
    head, _, tables = cached(index).read_bytes().partition(b"\n")
    older = {name: value for name, value in json.loads(head).items() if name != "tail"}
    cached(index).write_bytes(json.dumps(older).encode() + b"\n" + tables)
    longer = replace(index, entries=(replace(entry, bytes=entry.bytes + 200_000),))
    with pytest.raises(DataError, match="holds nothing but zeros from byte"):
        ShardReader(longer).shard(0)


def test_a_sound_cache_of_an_older_version_is_used(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    head, _, tables = cached(index).read_bytes().partition(b"\n")
    older = {name: value for name, value in json.loads(head).items() if name != "tail"}
    cached(index).write_bytes(json.dumps(older).encode() + b"\n" + tables)
    assert sample_index_cache.open_cached(tmp_path, index.entries[0]) is not None
