"""Members that are no plain files: links, sparse files, files that belong to no sample."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from hpc_xfer.compute.shard_tools.verify import LeftOut, check
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.errors import DataError
from tests.tars import png, write_tar

TAR = ("tar", "--sort=name")


def add(path: Path, name: str, kind: bytes, target: str = "", data: bytes = b"") -> Path:
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, len(data)
        tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("tar_format", ["gnu", "posix", "ustar", "oldgnu", "v7"])
def test_an_image_that_tar_stored_as_a_hard_link_has_the_bytes_of_its_target(
    tmp_path: Path, tar_format: str
) -> None:
    """tar packs files with the same inode once: the sample of the second one had no image."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.txt").write_text(f"caption {i}")
    (folder / "0.png").write_bytes(png())
    (folder / "1.png").hardlink_to(folder / "0.png")
    (folder / "2.png").hardlink_to(folder / "0.png")
    path = tmp_path / "a.tar"
    call = [*TAR, f"--format={tar_format}", "-cf", str(path), "-C", str(tmp_path), "images"]
    subprocess.run(call, check=True)
    shard = open_shard(path)
    assert [shard.read(i) for i in range(3)] == [
        {"png": png(), "txt": f"caption {i}".encode()} for i in range(3)
    ]
    assert shard.passed_over == ()


def test_a_hard_link_has_the_data_of_the_last_earlier_file_of_that_name(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("x", b"old"), ("x", b"new")])
    add(path, "0.txt", tarfile.LNKTYPE, "x")
    add(path, "1.txt", tarfile.LNKTYPE, "0.txt")
    add(path, "2.txt", tarfile.LNKTYPE, "later.txt")
    add(path, "later.txt", tarfile.REGTYPE, data=b"later")
    shard = open_shard(path)
    assert [shard.read(i) for i in range(3)] == [
        {"txt": b"new"},
        {"txt": b"new"},
        {"txt": b"later"},
    ]
    assert shard.passed_over == (
        ("files without a suffix", 2, "x"),
        ("hard links to a file that is not before them", 1, "2.txt"),
    )


@pytest.mark.parametrize("tar_format", ["gnu", "posix"])
def test_a_sparse_file_is_named_as_what_it_is(tmp_path: Path, tar_format: str) -> None:
    with (tmp_path / "0.jpg").open("wb") as file:
        file.write(b"a")
        os.ftruncate(file.fileno(), 1 << 20)
    path = tmp_path / "a.tar"
    call = [*TAR, f"--format={tar_format}", "-S", "-cf", str(path), "-C", str(tmp_path), "0.jpg"]
    subprocess.run(call, check=True)
    what = "is a sparse file, without its holes; pack it again without `tar --sparse`"
    with pytest.raises(DataError) as caught:
        open_shard(path)
    assert str(caught.value) == f"{path}: 0.jpg {what}"
    assert (0, "0.jpg", what) in [(0, each.key, each.what) for each in check(tmp_path).problems]


def test_a_sparse_file_with_many_holes_does_not_hide_the_next_member(tmp_path: Path) -> None:
    """Its map needs more than one block."""
    with (tmp_path / "0").open("wb") as file:
        for i in range(40):
            file.seek(i << 16)
            file.write(b"a" * 4096)
    (tmp_path / "1.txt").write_text("next")
    path = tmp_path / "a.tar"
    call = [*TAR, "--format=gnu", "-S", "-cf", str(path), "-C", str(tmp_path), "0", "1.txt"]
    subprocess.run(call, check=True)
    shard = open_shard(path)
    assert shard.read(0) == {"txt": b"next"}
    assert shard.passed_over == (("files without a suffix", 1, "0"),)


def test_what_belongs_to_no_sample_is_counted_and_named(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("a/._0.png", b"of macOS"),
            ("a/0.png", png()),
            ("a/._0.txt", b"of macOS"),
            ("a/0.txt", b"caption"),
            ("__MACOSX/0.png", b"of macOS"),
            (".DS_Store", b"of macOS too"),
            ("README", b"text"),
            ("a/LICENSE", b"text"),
            ("__meta__/about.txt", b"text"),
        ],
    )
    add(path, "a", tarfile.DIRTYPE)
    add(path, "1.png", tarfile.SYMTYPE, "a/0.png")
    add(path, "pipe", tarfile.FIFOTYPE)
    expected = (
        ("files of macOS (._* and __MACOSX)", 3, "a/._0.png"),
        ("hidden files", 1, ".DS_Store"),
        ("files without a suffix", 2, "README"),
        ("files of WebDataset's own (__*__)", 1, "__meta__/about.txt"),
        ("symbolic links", 1, "1.png"),
        ("entries that are no files (devices, labels, pipes)", 1, "pipe"),
    )
    shard = open_shard(path)
    assert list(shard.keys) == ["a/0"]
    assert shard.read(0) == {"png": png(), "txt": b"caption"}
    assert shard.passed_over == expected
    assert check(tmp_path).left_out == tuple(LeftOut(*each, "a.tar") for each in expected)


def test_what_shards_leave_out_is_added_up_and_the_first_is_named(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / name, [("README", b""), (f"{name[0]}.png", png())])
    assert check(tmp_path).left_out == (LeftOut("files without a suffix", 2, "README", "a.tar"),)


def test_names_of_any_bytes_and_with_any_prefix_are_keys(tmp_path: Path) -> None:
    names = ["./a/0.txt", "/b/1.txt", "caf\udce9/2.txt", "ü" * 120 + "\udcff.txt"]
    path = write_tar(tmp_path / "a.tar", [(name, b"x") for name in names])
    shard = open_shard(path)
    assert list(shard.keys) == [name.removesuffix(".txt") for name in names]


def test_gnu_tar_with_times_in_the_header_keeps_its_names(tmp_path: Path) -> None:
    """`tar --incremental` writes times where other formats have a prefix of the name."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.txt").write_text("a")
    path = tmp_path / "a.tar"
    call = ["tar", "--format=gnu", "--incremental", "-cf", str(path), "-C", str(tmp_path), "in"]
    subprocess.run(call, check=True)
    assert list(open_shard(path).keys) == ["in/0"]


def test_a_tar_with_a_label_and_a_comment_for_all_members_is_read(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("a")
    for options in (["--label=mine"], ["--format=posix", "--pax-option=comment=mine"]):
        path = tmp_path / "a.tar"
        subprocess.run(["tar", *options, "-cf", path, "-C", tmp_path, "0.txt"], check=True)
        assert open_shard(path).read(0) == {"txt": b"a"}


def test_a_global_header_that_renames_members_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("a")
    path = tmp_path / "a.tar"
    options = ["--format=posix", "--pax-option=path=1.txt"]
    subprocess.run(["tar", *options, "-cf", path, "-C", tmp_path, "0.txt"], check=True)
    with pytest.raises(DataError, match="does not begin with the header of a tar"):
        open_shard(path)


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("hole", [(512, 520), (515, 1024), (540, 545), (600, 1024)])
def test_a_hole_in_a_long_name_is_damage(
    tmp_path: Path, tar_format: int, hole: tuple[int, int]
) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tar_format) as tar:
        tar.addfile(tarfile.TarInfo("n" * 140 + ".txt"))
    data = bytearray(path.read_bytes())
    data[slice(*hole)] = bytes(hole[1] - hole[0])
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"is cut off or damaged|does not begin with the header"):
        open_shard(path)


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_file_of_more_than_8_gib_is_a_member_as_any_other(
    tmp_path: Path, tar_format: int
) -> None:
    """Its size needs more than the eleven digits of a header."""
    large, small = tarfile.TarInfo("0.bin"), tarfile.TarInfo("1.bin")
    large.size = 9 << 30
    header = large.tobuf(tar_format)
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(header)
        file.seek(large.size, io.SEEK_CUR)  # a hole
        file.write(small.tobuf(tar_format) + bytes(1024))
    shard = open_shard(path)
    assert list(shard.members) == [
        {"bin": (len(header), large.size)},
        {"bin": (path.stat().st_size - 1024, 0)},
    ]
