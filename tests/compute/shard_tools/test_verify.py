"""`shards check`: everything that is wrong with shards is found, and where."""

import io
import json
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shard_tools.verify import CheckReport, Problem, check
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import StudyError
from tests.compute.shard_tools.making import write_shards
from tests.tars import cut, png, samples, write_tar


def test_a_whole_source_passes_the_check(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(4), ["cat", "dog"], per_shard=3)
    assert check(tmp_path) == CheckReport(4, [], {})


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
    index_folder(tmp_path)
    found = [
        (problem.key, problem.what[:30], problem.offset) for problem in check(tmp_path).problems
    ]
    assert found == [
        ("cut", "png: is not an image; replace ", 3584),
        ("cut", "its txt is empty", 4608),
        ("none", "has 0 images (none of jpg, jpe", 6656),
        ("two", "has no txt", 8704),
        ("two", "has 2 images (jpg, png)", 8704),
        ("ok", "the key occurs twice", 12288),
    ]


def test_the_offset_of_a_problem_is_right(tmp_path: Path) -> None:
    write_shards(
        tmp_path, [*samples(3), {"png": b"no image here", "txt": b"fine", "cls": b"0"}], None
    )
    (problem,) = check(tmp_path).problems
    data = (tmp_path / problem.shard).read_bytes()
    assert problem.offset is not None
    assert data[problem.offset :].startswith(b"no image here")


def test_a_cut_shard_is_checked_up_to_the_cut(tmp_path: Path) -> None:
    broken = [{"png": png()[:30], "txt": b"cut", "cls": b"0"}]
    write_shards(tmp_path, [*broken, *samples(2)], ["cat", "dog"])
    cut(tmp_path / "000000.tar", 2 * 3072 + 1600)
    found = check(tmp_path)
    assert found.samples == 3
    assert [(problem.key, problem.what[:32], problem.offset) for problem in found.problems] == [
        (None, f"{tmp_path}/000000.tar: has 7,744 bytes where index"[:32], None),
        (None, "is cut off or damaged after 3 samples"[:32], 2 * 3072 + 1024),
        (None, "its bytes have changed since it was"[:32], None),
        ("000000000", "png: is not an image; replace or"[:32], 1536),
        ("000000002", "has no txt", 2 * 3072 + 512),
        ("000000002", "has 0 images (none of jpg, jpeg, "[:32], 2 * 3072 + 512),
    ]


def test_differences_between_index_and_shards_are_found(tmp_path: Path) -> None:
    index = write_shards(tmp_path, samples(4), ["cat", "dog"], per_shard=1)
    path = tmp_path / "index.json"
    content = json.loads(path.read_text())
    content["shards"][0]["samples"] = 7
    content["samples"] = 10
    path.write_text(json.dumps(content))
    (tmp_path / "000001.tar").unlink()
    write_tar(tmp_path / "new.tar", [("0.png", png()), ("0.txt", b"new"), ("0.cls", b"2")])
    found = [(problem.shard, problem.what.removeprefix(str(tmp_path))) for problem in
             check(tmp_path).problems]  # fmt: skip
    folder = shlex.quote(str(index.folder))
    assert found == [
        ("index.json", f"/000001.tar: is listed in index.json but missing; bring it back or run "
         f"`python -m hpc_xfer.shards index {folder}`"),
        ("index.json", f"/new.tar: is the one shard that index.json does not list; run "
         f"`python -m hpc_xfer.shards index {folder}`"),
        ("000000.tar", "holds 1 samples where the index says 7"),
        ("new.tar", "has cls 2, but there are 2 classes"),
    ]  # fmt: skip


def test_shards_without_an_index_are_checked_too(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("0.png", png()), ("0.cls", b"cat"), ("1.png", png())])
    (tmp_path / "b.tar").write_bytes(b"no tar")
    write_tar(tmp_path / "c.tar", [])
    found = [(problem.shard, problem.what[:39]) for problem in check(tmp_path).problems]
    assert found == [
        ("index.json", f"{tmp_path}: has 3 shards but no index.json"[:39]),
        ("a.tar", "cls 'cat' is not a class number (0, 1, 2, ...)"[:39]),
        ("a.tar", "has no cls"),
        ("b.tar", "cannot be read as an uncompressed tar (f"[:39]),
        ("c.tar", "holds no samples"),
    ]
    (tmp_path / "index.json").write_text("{")
    assert "index.json: is damaged or of another version" in check(tmp_path).problems[0].what


def test_links_and_paths_that_leave_the_folder_are_found(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("/etc/0.png", png()), ("a/../../1.png", png())])
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        link = tarfile.TarInfo("2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    index_folder(tmp_path)
    assert [(problem.key, problem.what) for problem in check(tmp_path).problems] == [
        ("/etc/0.png", "has an absolute path; unpacking would write there"),
        ("a/../../1.png", "has .. in its path; unpacking would leave the folder"),
        ("2.png", "is a symbolic link; it is left out"),
    ]  # fmt: skip


def test_a_field_that_occurs_twice_is_found(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("0.png", png()), ("0.txt", b"a"), ("0.txt", b"b")])
    assert check(tmp_path).problems[1:] == [Problem("a.tar", "0", "has two txt", 2560)]


def test_captions_and_labels_in_the_json_are_checked(tmp_path: Path) -> None:
    members = [("0.json", b'{"kind": "cat"}'), ("1.json", b'{"kind": "dog"}')]
    images = [("0.png", png()), ("1.png", png())]
    write_tar(tmp_path / "a.tar", [m for pair in zip(images, members, strict=True) for m in pair])
    index_folder(tmp_path, label_key="kind")
    assert check(tmp_path).problems == []
    content = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**content, "classes": ["cat"]}))
    assert [(problem.key, problem.what) for problem in check(tmp_path).problems] == [
        ("1", "has label 'dog', which is not one of the 1 classes")
    ]
    write_tar(tmp_path / "a.tar", [("0.png", png()), ("0.json", b"[]")])
    assert check(tmp_path).problems[-1].what == "its json is not an object of keys and values"


def image(mode: str, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (16, 12)).save(buffer, file_format, **options)
    return buffer.getvalue()


def test_unusual_images_are_counted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    frames = {"save_all": True, "append_images": [Image.new("RGB", (16, 12), (9, 0, 0))]}
    deep = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(deep, "png")
    stored = {
        "0.jpg": image("RGB", "jpeg"),
        "1.jpg": image("L", "jpeg"),
        "2.jpeg": image("CMYK", "jpeg"),
        "3.png": deep.getvalue(),
        "4.webp": image("RGB", "webp", **frames),
        "5.jpg": image("RGB", "jpeg", exif=exif),
        "6.png": image("RGB", "jpeg"),
        "7.png": image("P", "png"),
        "8.png": image("RGBA", "png"),
    }
    write_tar(tmp_path / "a.tar", list(stored.items()))
    index_folder(tmp_path)
    found = check(tmp_path)
    assert found.problems == []
    assert found.notes == {
        "16 bits": 1,
        "CMYK": 1,
        "alpha": 1,
        "animated": 1,
        "grey": 1,
        "of another format than its name": 1,
        "palette": 1,
        "turned by EXIF": 1,
    }


def test_a_decompression_bomb_is_found_before_it_is_decoded(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "png")
    write_tar(tmp_path / "a.tar", [("0.png", bomb.getvalue())])
    index_folder(tmp_path)
    (problem,) = check(tmp_path).problems
    assert "decompression bomb" in problem.what


def test_any_number_of_processes_finds_the_same(tmp_path: Path) -> None:
    write_shards(tmp_path, [*samples(5), {"png": b"none"}, *samples(4)], None, per_shard=3)
    assert check(tmp_path, workers=3) == check(tmp_path, workers=1)
    assert [problem.what[:16] for problem in check(tmp_path).problems] == [
        "has no cls", "has no txt", "png: is not an i",
    ]  # fmt: skip


def test_a_changed_byte_is_found_where_the_size_is_the_same(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(2), ["cat", "dog"])
    path = tmp_path / "000000.tar"
    path.write_bytes(path.read_bytes().replace(b"number 1", b"number 7"))
    assert check(tmp_path).problems == [
        Problem("000000.tar", None, "its bytes have changed since it was indexed")
    ]


def test_check_lists_the_problems_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = write_shards(
        tmp_path, [*samples(1), {"png": b"none", "cls": b"0", "txt": b"a"}], ["cat"]
    )
    assert shards.main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "000000.tar: 000000001: byte 4,608: png: is not an image; replace or remove it",
        f"{tmp_path}: 2 samples, 1 problem",
    ]
    assert shards.main(["check", str(tmp_path), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["samples"], printed["notes"]) == (2, {})
    assert [(each["shard"], each["offset"]) for each in printed["problems"]] == [
        ("000000.tar", 4608)
    ]
    assert ShardIndex.load(tmp_path) == index


@pytest.mark.parametrize(
    ("command", "place", "told"),
    [
        ("index", "nothere", "nothere: no such folder"),
        ("index", "nothere/{0..9}.tar", "nothere: no such folder"),
        ("check", "nothere", "nothere: no such folder"),
        ("check", "a.tar", "a.tar: is not a folder"),
    ],
)
def test_a_folder_of_shards_that_is_not_there_is_a_wrong_call(
    tmp_path: Path, command: str, place: str, told: str
) -> None:
    write_tar(tmp_path / "a.tar", [("0.png", png())])
    with pytest.raises(StudyError) as caught:
        shards.main([command, str(tmp_path / place)])
    assert str(caught.value) == f"{tmp_path}/{told}; name the folder of the shards"
    assert caught.value.exit_code == 2


def test_a_source_of_images_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    nothere, out = str(tmp_path / "nothere"), str(tmp_path / "out")
    for call in (
        [nothere, out],
        [f"{nothere}.csv", out],
        ["torchvision:DTD", out, "--root", nothere],
    ):
        with pytest.raises(StudyError, match=r"no such (file or )?folder"):
            shards.main(["make", *call])


def test_check_tells_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar(tmp_path / "a.tar", [("README", b""), ("0.png", png())])
    index_folder(tmp_path)
    assert shards.main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "left out: 1 files without a suffix, the first README in a.tar",
        f"{tmp_path}: 1 sample, no problems",
    ]


def test_a_field_that_nobody_reads_may_be_absent(tmp_path: Path) -> None:
    """One sample with a mask made every other sample a problem."""
    write_tar(
        tmp_path / "a.tar",
        [("0.png", png()), ("0.txt", b"cat"), ("0.npy", b"1"), ("1.png", png()), ("1.txt", b"dog")],
    )
    index_folder(tmp_path)
    assert check(tmp_path).problems == []


def test_a_label_after_a_mark_of_windows_is_the_same_in_index_and_check(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("0.png", png()), ("0.cls", b"\xef\xbb\xbf1\r\n")])
    assert index_folder(tmp_path).index.classes == ("0", "1")
    assert check(tmp_path).problems == []
    assert open_shard(tmp_path / "a.tar").label(0) == 1
