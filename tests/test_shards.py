"""Tar shards: written, opened, read at random, found broken; and the commands around them."""

import io
import json
import multiprocessing
import pickle
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_iterator

from hpc_xfer import shards as commands
from hpc_xfer.data import characters
from hpc_xfer.data.shards import Problem, Shard, build_index, check, open_shard, write_shards
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.shard_index import ShardIndex


def png(level: int = 128, file_format: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (level, 0, 0)).save(buffer, file_format)
    return buffer.getvalue()


def samples(n: int) -> list[dict[str, bytes]]:
    return [
        {"png": png(i), "cls": str(i % 2).encode(), "txt": f"number {i}".encode()} for i in range(n)
    ]


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    """A tar such as other programs write: any names, any order."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


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
    assert second.keys == ("000000002", "000000003")
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
    assert shard.keys == ("dir.v2/0", "dir.v2/1", "other/1", "x" * 150)
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


def test_foreign_shards_are_indexed(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.cls", b"2\n"), ("10.jpg", b"3")])
    seen: list[tuple[int, int]] = []
    with pytest.raises(DataError, match=r"b\.tar: sample 10 has no cls; make the shard again"):
        build_index(tmp_path)
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.cls", b"2\n")])
    index = build_index(tmp_path, lambda done, total: seen.append((done, total)))
    assert index == ShardIndex.load(tmp_path)
    assert (index.samples, index.fields) == (1, ("cls", "jpg"))
    assert index.classes == ("0", "1", "2")
    assert seen == [(1, 1)]


def test_class_names_are_taken_from_beside_foreign_shards(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.cls", b"1")])
    (tmp_path / "classes.json").write_text('["cat", "dog", "never seen"]')
    assert build_index(tmp_path).classes == ("cat", "dog", "never seen")
    (tmp_path / "classes.json").write_text('["cat"]')
    with pytest.raises(DataError, match="names 1 classes, but the shards have class 1; add"):
        build_index(tmp_path)
    (tmp_path / "classes.json").write_text('{"cat": 0}')
    with pytest.raises(DataError, match="is not a JSON list of names"):
        build_index(tmp_path)


def test_shards_with_captions_alone_have_no_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.txt", b"a cat")])
    assert build_index(tmp_path).classes is None


def test_a_class_that_is_no_number_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.cls", b"cat")])
    with pytest.raises(DataError, match=r"b\.tar: sample 9 has cls 'cat', which is no class numb"):
        build_index(tmp_path)


def test_a_whole_source_passes_the_check(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(4), ["cat", "dog"], per_shard=3)
    assert check(tmp_path) == []


def test_the_check_lists_everything_that_is_wrong(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "a.tar",
        [
            *[("ok.png", png()), ("ok.txt", b"fine"), ("ok.cls", b"0")],
            *[("cut.png", png()[:40]), ("cut.txt", b" "), ("cut.cls", b"1")],
            *[("none.txt", b"no image"), ("none.cls", b"0")],
            *[("two.png", png()), ("two.jpg", png(file_format="jpeg")), ("two.cls", b"0")],
            *[("ok.png", png()), ("ok.txt", b"again"), ("ok.cls", b"0")],
        ],
    )
    write_tar(tmp_path / "b.tar", [("1.png", png()), ("1.txt", b"x" * 999), ("1.cls", b"0")])
    build_index(tmp_path)
    cut(tmp_path / "b.tar", 2048)
    found = [(problem.shard, problem.key, problem.what[:30]) for problem in check(tmp_path)]
    assert found == [
        ("index.json", None, f"{tmp_path}/b.tar"[:30]),
        ("a.tar", "cut", "png: is not an image; replace "),
        ("a.tar", "cut", "its txt is empty or not UTF-8"),
        ("a.tar", "none", "has 0 images (none of jpg, jpe"),
        ("a.tar", "two", "has no txt"),
        ("a.tar", "two", "has 2 images (jpg, png)"),
        ("a.tar", "ok", "the key is there twice"),
        ("b.tar", None, f"{tmp_path}/b.tar"[:30]),
    ]


def test_a_changed_byte_is_found_though_the_size_is_right(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(2), ["cat", "dog"])
    path = tmp_path / "000000.tar"
    path.write_bytes(path.read_bytes().replace(b"number 1", b"number 7"))
    assert check(tmp_path) == [
        Problem("000000.tar", None, "its bytes are not those that were indexed")
    ]


# The commands.


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images of two classes, one of them in a format that shards do not know."""
    folder = tmp_path / "my photos"
    for name in ("big_cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            (folder / name / f"{i}.JPG").write_bytes(png(80 * i, "jpeg"))
    (folder / "dog" / "2.JPG").unlink()
    Image.new("RGB", (8, 6), (9, 9, 9)).save(folder / "dog" / "2.bmp")
    return folder


def test_make_packs_an_image_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert commands.main(["make", str(photos), str(out), "--per-shard", "4"]) == 0
    assert capsys.readouterr().out == f"{out}: 6 samples in 2 shards, 2 classes\n"
    index = ShardIndex.load(out)
    assert index.classes == ("big cat", "dog")
    found = [
        (shard.read(i, ["txt"])["txt"], shard.label(i))
        for shard in map(open_shard, map(index.path, index.entries))
        for i in range(len(shard))
    ]
    assert sorted(found) == [(b"big cat", 0)] * 3 + [(b"dog", 1)] * 3
    assert found != sorted(found)  # shuffled
    assert index.fields == ("cls", "jpg", "png", "txt")  # the bmp became a png
    assert commands.main(["check", str(out)]) == 0


def test_the_seed_decides_the_shuffle(photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        commands.main(["make", str(photos), str(tmp_path / name), "--seed", seed])
    a, b, c = (ShardIndex.load(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_check_fails_with_a_list(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "dog" / "0.JPG").write_bytes(b"not an image")
    out = tmp_path / "out"
    commands.main(["make", str(photos), str(out)])
    capsys.readouterr()
    assert commands.main(["check", str(out)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "is not an image" in lines[0]
    assert lines[1] == f"{out}: 1 problems"
    assert commands.main(["check", str(out), "--json"]) == 1
    assert [p["shard"] for p in json.loads(capsys.readouterr().out)] == ["000000.tar"]


def test_index_brings_a_lost_index_back(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    commands.main(["make", str(photos), str(out)])
    before = ShardIndex.load(out)
    (out / "index.json").unlink()
    (out / "classes.json").write_text('["big cat", "dog"]')
    capsys.readouterr()
    assert commands.main(["index", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == before.fingerprint
    assert ShardIndex.load(out) == before


def render(out: Path, *options: str) -> int:
    small = ["--source", "mono", "--samples", "20", "--classes", "10", "--workers", "1"]
    return commands.main(["characters", str(out), *small, *options])


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
    with pytest.raises(StudyError, match="holds shards that were not rendered here"):
        render(tmp_path)


def test_the_command_knows_all_sources() -> None:
    assert tuple(characters.SOURCES) == commands.SOURCES


@pytest.mark.parametrize(
    "call",
    [["characters"], ["characters", "out", "--samples", "0"], ["make", "in"], ["bake"], []],
)
def test_a_wrong_call_exits_with_2(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        commands.main(call)
    assert caught.value.code == 2


def test_help_opens_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.main(["make", "--help"])
    assert "python -m hpc_xfer.shards make photos/train sources/photos" in capsys.readouterr().out


def test_pixels_survive_the_way_through_a_shard(tmp_path: Path) -> None:
    render(tmp_path)
    data = open_shard(tmp_path / "mono/000000.tar").read(7)
    pixels = np.asarray(Image.open(io.BytesIO(data["png"])))
    row = characters.Characters("mono", classes=10)
    assert np.array_equal(pixels, row.pixels(7))
    assert int(data["cls"]) == row.label(7)
