"""What is noted of shards when they are indexed saves reading headers; held against the file."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shard_tools.shard_writer import write_shards
from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.read_ahead import ShardReader
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.tars import write_tar


def source(folder: Path) -> ShardIndex:
    """Two shards of the same size: 100 samples of 30 kB each."""
    made = ({"jpg": bytes([i]) * 30_000, "txt": f"{i:03d}".encode()} for i in range(200))
    return write_shards(folder, made, None, per_shard=100)


def note(index: ShardIndex, number: int = 0) -> Path:
    return shard_index.places_path(index.folder, index.entries[number].name)


def read_so_far() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].removeprefix("rchar: "))


def test_opening_a_shard_reads_its_note_and_a_few_blocks(tmp_path: Path) -> None:
    index = source(tmp_path)
    before = read_so_far()
    shard = ShardReader(index).shard(0)
    assert read_so_far() - before < 30_000 < index.entries[0].bytes / 100
    assert shard.read(7) == {"jpg": b"\x07" * 30_000, "txt": b"007"}


def test_a_note_tells_what_the_headers_tell(tmp_path: Path) -> None:
    write_tar(tmp_path / "part/0.tar", [("a.b.txt", b"1"), ("a.png", b"0"), ("\udcff.txt", b"2")])
    write_tar(tmp_path / "part/1.tar", [("x" * 150 + ".txt", b"3"), ("README", b"no sample")])
    write_tar(tmp_path / "part/2.tar", [])
    index = index_folder(tmp_path).index
    for entry in index.entries:
        known, read = sample_index_cache.shard(tmp_path, entry), open_shard(index.path(entry))
        assert known is not None
        assert list(known.keys) == list(read.keys)
        assert list(known.members) == list(read.members)
        assert known.layout == read.layout


def lose(index: ShardIndex) -> None:
    note(index).unlink()


def cut(index: ShardIndex) -> None:
    os.truncate(note(index), 900)


def swap(index: ShardIndex) -> None:
    """As a copy of other shards into the folder may do."""
    note(index, 1).replace(note(index))


def garble(index: ShardIndex) -> None:
    data = bytearray(note(index).read_bytes())
    data[-8] ^= 1
    note(index).write_bytes(data)


def empty(index: ShardIndex) -> None:
    note(index).write_bytes(b"{}\n")


@pytest.mark.parametrize("damage", [lose, cut, swap, garble, empty])
def test_without_a_note_that_fits_the_headers_are_read(
    damage: Callable[[ShardIndex], None], tmp_path: Path
) -> None:
    index = source(tmp_path)
    damage(index)
    assert sample_index_cache.shard(tmp_path, index.entries[0]) is None
    assert ShardReader(index).shard(0).read(99, ["txt"]) == {"txt": b"099"}


def test_an_index_of_an_older_version_is_read_as_before(tmp_path: Path) -> None:
    index = source(tmp_path)
    older = tuple(replace(entry, layout=None) for entry in index.entries)
    assert sample_index_cache.shard(tmp_path, older[0]) is None
    assert len(ShardReader(replace(index, entries=older)).shard(0)) == 100


def test_another_shard_of_the_same_size_is_found(tmp_path: Path) -> None:
    index = source(tmp_path)
    index.path(index.entries[1]).replace(index.path(index.entries[0]))
    with pytest.raises(DataError, match="it was replaced"):
        ShardReader(index).shard(0)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_shard_that_another_was_half_copied_over_is_not_believed(
    share: float, tmp_path: Path
) -> None:
    """Headers of both lie at the same places, so that it is still a tar."""
    index = source(tmp_path)
    one, two = (index.path(entry) for entry in index.entries)
    with one.open("r+b") as file:
        file.write(two.read_bytes()[: int(share * index.entries[1].bytes)])
    with pytest.raises(DataError, match=r"holds 101 samples where the index says 100"):
        ShardReader(index).shard(0)


def test_shards_are_indexed_where_no_note_can_be_written(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("0.txt", b"1")])
    (tmp_path / shard_index.PLACES).write_bytes(b"in the way")
    index = index_folder(tmp_path).index
    assert ShardReader(index).shard(0).read(0) == {"txt": b"1"}


def test_what_is_noted_of_no_shard_is_removed(tmp_path: Path) -> None:
    index = source(tmp_path)
    (note(index).parent / ".000000.tar.places.7.tmp").write_bytes(b"of a process that was killed")
    index.path(index.entries[1]).unlink()
    index_folder(tmp_path)
    assert list(note(index).parent.iterdir()) == [note(index)]
