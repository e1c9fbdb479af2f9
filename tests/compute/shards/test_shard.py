"""Tar shards: written, opened, read at random, found cut; and printed characters in them."""

import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_iterator

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools import rendered_characters
from hpc_xfer.compute.shard_tools.pack import write_shards
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, StudyError
from tests.tars import cut, samples, write_tar


def read_third(shard: Shard) -> bytes:
    return shard.read(2)["txt"]


def test_what_is_written_is_read_back_in_any_order(tmp_path: Path) -> None:
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


def test_existing_shards_are_not_written_over(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(1), None)
    with pytest.raises(StudyError, match="holds shards already; remove them or name another"):
        write_shards(tmp_path, samples(1), None)


def test_no_samples_make_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no samples to write"):
        write_shards(tmp_path, [], None)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_shard_can_be_read_in_another_process(tmp_path: Path, start: str) -> None:
    write_shards(tmp_path, samples(3), None)
    shard = open_shard(tmp_path / "000000.tar")
    shard.read(0)  # its handle is open when it is sent
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


def test_a_field_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("0.png", b"1"), ("0.txt", b"2"), ("0.png", b"3")])
    with pytest.raises(DataError, match=r"a\.tar: 0\.png is there twice; make the shard again"):
        open_shard(path)


# A sample here is three members of 1,024 bytes each (header and data): 3,072 bytes.
@pytest.mark.parametrize(
    ("size", "whole"),
    [
        (3 * 3072, 3),  # only the end mark is gone
        (2 * 3072, 2),  # between samples: nothing but the end mark tells
        (2 * 3072 + 100, 2),  # in the header of a first member
        (2 * 3072 + 1600, 2),  # in the data of a second member
        (3 * 3072 - 512, 2),  # in the data of a last member
    ],
)
def test_a_cut_shard_says_how_much_is_whole(tmp_path: Path, size: int, whole: int) -> None:
    write_shards(tmp_path, samples(3), None)
    path = cut(tmp_path / "000000.tar", size)
    with pytest.raises(DataError) as caught:
        open_shard(path)
    assert str(caught.value) == (
        f"{path}: is cut off or damaged after {whole} samples; copy it again or remove it"
    )


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100])
def test_what_is_no_tar_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tar: cannot be read as an uncompressed tar"):
        open_shard(path)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"-0000000001\0", b"\x80" + b"\xff" * 11])
@pytest.mark.parametrize("block", [0, 2])
def test_absurd_sizes_in_headers_are_damage(block: int, size: bytes, tmp_path: Path) -> None:
    """Below 0 they would lead back, and so in circles; above what a file can hold, nowhere."""
    path = write_tar(tmp_path / "0.tar", [("0.txt", b"a"), ("1.txt", b"b")])
    data = bytearray(path.read_bytes())
    header = data[512 * block : 512 * (block + 1)]
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * ord(" ") + sum(header[156:]))
    data[512 * block : 512 * (block + 1)] = header
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"is cut off or damaged|cannot be read as an uncomp"):
        open_shard(path)


def test_the_layout_tells_shards_of_one_size_apart(tmp_path: Path) -> None:
    layouts = [
        open_shard(write_tar(tmp_path / f"{i}.tar", members)).layout
        for i, members in enumerate(
            [
                [("0.txt", b"a"), ("0.cls", b"b")],
                [("0.txt", b"c"), ("0.cls", b"d")],  # what is in them is hashed with the index
                [("0.cls", b"a"), ("0.txt", b"b")],
                [("1.txt", b"a"), ("1.cls", b"b")],
                [("0.txt", b"aa"), ("0.cls", b"b")],
            ]
        )
    ]
    assert layouts[0] == layouts[1]
    assert len(set(layouts)) == 4


def test_a_shard_that_shrinks_or_goes_while_in_use_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(3), None)
    path = tmp_path / "000000.tar"
    shrunk, gone = open_shard(path), open_shard(path)
    shrunk.read(0)
    with open(path, "r+b") as file:
        file.truncate(3072)
    with pytest.raises(DataError, match="000000001 is cut off, the file shrank while in use"):
        shrunk.read(1)
    path.unlink()
    with pytest.raises(DataError, match="000000001 cannot be read"):
        gone.read(1)


def render(out: Path, *options: str) -> int:
    small = ["--source", "mono", "--samples", "20", "--classes", "10", "--workers", "1"]
    return shards.main(["characters", str(out), *small, *options])


def test_characters_are_rendered_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render(tmp_path) == 0
    line = f"{tmp_path}/mono: 20 samples in 1 shards, 10 classes"
    assert capsys.readouterr().out == f"{line}\n"
    written = (tmp_path / "mono/000000.tar").stat().st_mtime_ns
    assert render(tmp_path) == 0
    assert capsys.readouterr().out == f"{line}, made before\n"
    assert (tmp_path / "mono/000000.tar").stat().st_mtime_ns == written
    assert ShardIndex.load(tmp_path / "mono").classes == (
        *("digit zero", "digit one", "digit two", "digit three", "digit four"),
        *("digit five", "digit six", "digit seven", "digit eight", "digit nine"),
    )


def test_other_parameters_render_anew(tmp_path: Path) -> None:
    render(tmp_path)
    before = ShardIndex.load(tmp_path / "mono")
    render(tmp_path, "--seed", "1")
    assert ShardIndex.load(tmp_path / "mono").fingerprint != before.fingerprint
    render(tmp_path)
    assert ShardIndex.load(tmp_path / "mono") == before


def test_a_rendering_that_was_killed_half_way_is_done_again(tmp_path: Path) -> None:
    render(tmp_path)
    before = ShardIndex.load(tmp_path / "mono")
    (tmp_path / "mono/index.json").unlink()
    render(tmp_path)
    assert ShardIndex.load(tmp_path / "mono") == before


def test_processes_render_what_one_alone_renders(tmp_path: Path) -> None:
    render(tmp_path / "one", "--samples", "300")
    render(tmp_path / "two", "--samples", "300", "--workers", "2")
    one, two = (ShardIndex.load(tmp_path / name / "mono") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint


def test_shards_of_others_are_not_replaced_by_characters(tmp_path: Path) -> None:
    write_shards(tmp_path / "mono", samples(2), None)
    with pytest.raises(StudyError, match="holds shards already"):
        render(tmp_path)


def test_the_command_knows_all_sources() -> None:
    assert tuple(rendered_characters.SOURCES) == shards.SOURCES


@pytest.mark.parametrize(
    "call",
    [["characters"], ["characters", "out", "--samples", "0"], ["make", "in"], ["bake"], []],
)
def test_a_wrong_call_exits_with_2(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        shards.main(call)
    assert caught.value.code == 2


def test_help_opens_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        shards.main(["make", "--help"])
    assert "python -m hpc_xfer.shards make photos/train sources/photos" in capsys.readouterr().out


def test_pixels_survive_the_way_through_a_shard(tmp_path: Path) -> None:
    render(tmp_path)
    data = open_shard(tmp_path / "mono/000000.tar").read(7)
    pixels = np.asarray(Image.open(io.BytesIO(data["png"])))
    row = rendered_characters.CharacterSamples("mono", classes=10)
    assert np.array_equal(pixels, row.pixels(7))
    assert int(data["cls"]) == row.label(7)
