"""Tar shards: written, opened, read in any order, and refused where they are damaged."""

import bz2
import gzip
import lzma
import multiprocessing
import os
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from webdataset.tariterators import group_by_keys, tar_file_iterator

from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import write_shards
from tests.tars import cut, samples, write_tar

AGAIN = "copy it again or remove it"


def read_third(shard: Shard) -> bytes:
    return shard.read(2)["txt"]


def test_samples_are_read_back_in_any_order(tmp_path: Path) -> None:
    index = write_shards(tmp_path / "a source", samples(5), ["cat", "dog"], per_shard=2)
    assert [entry.name for entry in index.entries] == ["000000.tar", "000001.tar", "000002.tar"]
    assert [entry.samples for entry in index.entries] == [2, 2, 1]
    assert (index.samples, index.fields) == (5, ("cls", "png", "txt"))
    assert ShardIndex.load(index.folder) == index

    second = open_shard(index.path(index.entries[1]))
    assert len(second) == 2
    assert tuple(second.keys) == ("000000002", "000000003")
    assert second.read(1) == samples(5)[3]
    assert second.read(0, ["txt", "json"]) == {"txt": b"number 2"}
    assert second.label(1) == 1


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    one = write_shards(tmp_path / "one", samples(3), None)
    two = write_shards(tmp_path / "two", samples(3), None)
    assert one.fingerprint == two.fingerprint
    assert (tmp_path / "one/000000.tar").read_bytes() == (tmp_path / "two/000000.tar").read_bytes()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_shard_can_be_read_in_another_process(tmp_path: Path, start: str) -> None:
    write_shards(tmp_path, samples(3), None)
    shard = open_shard(tmp_path / "000000.tar")
    shard.read(0)  # its file is open when it is sent
    if start == "spawn":
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(start)) as pool:
            assert pool.submit(read_third, shard).result() == b"number 2"
    else:
        assert read_third(pickle.loads(pickle.dumps(shard))) == b"number 2"


def test_members_are_grouped_as_webdataset_groups_them(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("__meta__/about.txt", b"not a sample"),
            ("README", b"no dot, no field"),
            ("dir.v2/0.jpg", b"1"),
            ("dir.v2/0.TXT", b"2"),
            ("dir.v2/1.seg.png", b"3"),
            ("other/1.png", b"4"),
            ("x" * 150 + ".png", b"long names too"),
        ],
    )
    shard = open_shard(path)
    assert tuple(shard.keys) == ("dir.v2/0", "dir.v2/1", "other/1", "x" * 150)
    assert [sorted(member) for member in shard.members] == [
        ["jpg", "txt"],
        ["seg.png"],
        ["png"],
        ["png"],
    ]
    assert shard.read(0) == {"jpg": b"1", "txt": b"2"}
    assert shard.read(3) == {"png": b"long names too"}

    with open(path, "rb") as file:
        found = ({**sample, "__url__": ""} for sample in tar_file_iterator(file))
        theirs = [
            {field: value for field, value in sample.items() if not field.startswith("__")}
            for sample in group_by_keys(found)
        ]
    assert theirs == [shard.read(i) for i in range(len(shard))]


def test_a_field_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("0.png", b"1"), ("0.txt", b"2"), ("0.png", b"3")])
    with pytest.raises(DataError, match=r"a\.tar: 0\.png occurs twice; make the shard again"):
        open_shard(path)


# A sample here is three members of 1,024 bytes each (header and data): 3,072 bytes.
@pytest.mark.parametrize(
    ("size", "complete"),
    [
        (3 * 3072, 3),  # only the end mark is missing
        (2 * 3072, 2),  # between samples: only the end mark shows it
        (2 * 3072 + 100, 2),  # in the header of a first member
        (2 * 3072 + 1600, 2),  # in the data of a second member
        (3 * 3072 - 512, 2),  # in the data of a last member
    ],
)
def test_a_cut_shard_is_refused_with_its_complete_samples_counted(
    tmp_path: Path, size: int, complete: int
) -> None:
    write_shards(tmp_path, samples(3), None)
    path = cut(tmp_path / "000000.tar", size)
    with pytest.raises(DataError) as caught:
        open_shard(path)
    mark = "if it has all samples, add the mark with `truncate -s +1024`"
    way_out = f"it has no end mark: copy it again, or, {mark}" if size % 3072 == 0 else AGAIN
    assert str(caught.value) == (
        f"{path}: is cut off or damaged after {complete} samples; {way_out}"
    )


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (b"a few", "it has 5 bytes, and a tar has 512 or more"),
        (b"no tar at all" * 100, "it does not begin with the header of a tar"),
        (gzip.compress(b"a", mtime=0), "it is compressed with gzip: unpack it with `gunzip`"),
        (bz2.compress(b"a" * 999), "it is compressed with bzip2: unpack it with `bunzip2`"),
        (lzma.compress(b"a"), "it is compressed with xz: unpack it with `unxz`"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "it is compressed with zstd"),
        (b"PK\x03\x04" + bytes(600), "it is a zip file"),
        (b"<!DOCTYPE html>", "it is a page of HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
    ],
)
def test_a_file_that_is_not_a_tar_is_refused_and_named(
    tmp_path: Path, data: bytes, what: str
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    expected = f"{path}: cannot be read as an uncompressed tar ({what}"
    with pytest.raises(DataError, match=re.escape(expected)):
        open_shard(path)


def test_a_pipe_and_a_folder_named_tar_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(DataError, match="it is a pipe or a device"):
        open_shard(tmp_path / "pipe.tar")
    with pytest.raises(DataError, match="Is a directory"):
        open_shard(tmp_path)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"-0000000001\0", b"\x80" + b"\xff" * 11])
@pytest.mark.parametrize("block", [0, 2])
def test_absurd_sizes_in_headers_are_refused(block: int, size: bytes, tmp_path: Path) -> None:
    """Below 0 they would lead back and round and round; above the size of the file, nowhere."""
    path = write_tar(tmp_path / "0.tar", [("0.txt", b"a"), ("1.txt", b"b")])
    data = bytearray(path.read_bytes())
    header = data[512 * block : 512 * (block + 1)]
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * ord(" ") + sum(header[156:]))
    data[512 * block : 512 * (block + 1)] = header
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"is cut off or damaged|cannot be read as an uncomp"):
        open_shard(path)


def test_the_layout_differs_between_shards_of_the_same_size(tmp_path: Path) -> None:
    layouts = [
        open_shard(write_tar(tmp_path / f"{i}.tar", members)).layout
        for i, members in enumerate(
            [
                [("0.txt", b"a"), ("0.cls", b"b")],
                [("0.txt", b"c"), ("0.cls", b"d")],  # the index has a hash of their data
                [("0.cls", b"a"), ("0.txt", b"b")],
                [("1.txt", b"a"), ("1.cls", b"b")],
                [("0.txt", b"aa"), ("0.cls", b"b")],
            ]
        )
    ]
    assert layouts[0] == layouts[1]
    assert len(set(layouts)) == 4


def test_a_shard_that_shrinks_or_disappears_while_in_use_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(3), None)
    path = tmp_path / "000000.tar"
    shrunk, gone = open_shard(path), open_shard(path)
    shrunk.read(0)
    with open(path, "r+b") as file:
        file.truncate(3072)
    with pytest.raises(DataError, match="000000001 is cut off: the file shrank while in use"):
        shrunk.read(1)
    path.unlink()
    with pytest.raises(DataError, match="000000001 cannot be read"):
        gone.read(1)
