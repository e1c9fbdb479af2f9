import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from hpc_xfer.dataset_tools.unpack import unpack
from hpc_xfer.errors import DataError


def ignored(done: int, total: int) -> None:
    """Take no notice of progress."""


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(tar_bytes(files))
    return path


def tar_bytes(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o400
            file.addfile(info, io.BytesIO(data))
        for info in more:
            file.addfile(info)
    return out.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


FILES = {"set/a.jpg": b"a", "set/inner/b.jpg": b"bb", "readme.txt": b"c"}


@pytest.mark.parametrize(("name", "make"), [("a.zip", zipped), ("a.tar.gz", tarred)])
def test_an_archive_is_unpacked_whole(tmp_path: Path, name: str, make) -> None:
    archive = make(tmp_path / name, FILES)
    seen: list[tuple[int, int]] = []
    entries = unpack(archive, tmp_path / "to", (), lambda *progress: seen.append(progress))
    assert entries == ["readme.txt", "set"]
    assert contents(tmp_path / "to") == FILES
    assert seen and seen[-1][0] <= seen[-1][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "to"])


def test_a_group_may_read_what_was_unpacked_and_its_owner_may_change_it(tmp_path: Path) -> None:
    unpack(tarred(tmp_path / "a.tgz", FILES), tmp_path / "to", (), ignored)
    assert stat.S_IMODE((tmp_path / "to/set/a.jpg").stat().st_mode) == 0o644
    assert os.access(tmp_path / "to/set", os.W_OK)


def test_archives_in_the_archive_are_unpacked_to_the_same_folder(tmp_path: Path) -> None:
    inner = tar_bytes({"101/a.jpg": b"a"})
    archive = zipped(tmp_path / "a.zip", {"top/101.tar.gz": inner, "top/note": b"n"})
    unpack(archive, tmp_path / "to", ["top/101.tar.gz"], ignored)
    assert contents(tmp_path / "to") == {"101/a.jpg": b"a", "top/note": b"n"}


def test_a_file_that_is_no_archive_is_put_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a 0\n")
    assert unpack(tmp_path / "list.txt", tmp_path / "to", (), ignored) == ["list.txt"]
    assert contents(tmp_path / "to") == {"list.txt": b"a 0\n"}


def test_two_archives_fill_one_folder_and_the_newer_file_counts(tmp_path: Path) -> None:
    unpack(zipped(tmp_path / "a.zip", FILES), tmp_path / "to", (), ignored)
    more = {"set/inner/b.jpg": b"new", "set/c.jpg": b"c"}
    unpack(zipped(tmp_path / "b.zip", more), tmp_path / "to", (), ignored)
    assert contents(tmp_path / "to") == FILES | more


def test_what_a_killed_call_left_is_unpacked_anew(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    (tmp_path / "a.zip.unpacked/set").mkdir(parents=True)
    (tmp_path / "a.zip.unpacked/set/half.jpg").touch()
    unpack(archive, tmp_path / "to", (), ignored)
    assert contents(tmp_path / "to") == FILES


OUTSIDE = ["/etc/evil", "../evil", "set/../../evil", "C:/evil"]


@pytest.mark.parametrize("bad", [*OUTSIDE, "..\\evil"])
@pytest.mark.parametrize(("name", "make"), [("a.zip", zipped), ("a.tar.gz", tarred)])
def test_nothing_is_written_outside(tmp_path: Path, bad: str, name: str, make) -> None:
    archive = make(tmp_path / name, {"ok.jpg": b"a", bad: b"evil"})
    with pytest.raises(DataError) as caught:
        unpack(archive, tmp_path / "to", (), ignored)
    assert str(caught.value) == (
        f"{archive}: {bad!r} would be written outside of the folder, so nothing was unpacked; "
        "remove the archive"
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (special("set/link", tarfile.SYMTYPE, "/etc"), "is a link"),
        (special("set/link", tarfile.LNKTYPE, "../../secret"), "is a link"),
        (special("set/pipe", tarfile.FIFOTYPE), "is neither a file nor a folder"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, member: tarfile.TarInfo, why: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar_bytes(FILES, member))
    with pytest.raises(DataError, match=why):
        unpack(tmp_path / "a.tar.gz", tmp_path / "to", (), ignored)
    assert not (tmp_path / "to").exists()


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc")
    with pytest.raises(DataError, match="'link' is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "to", (), ignored)


@pytest.mark.parametrize(("name", "make"), [("a.zip", zipped), ("a.tar.gz", tarred)])
def test_a_cut_archive_leaves_nothing(tmp_path: Path, name: str, make) -> None:
    whole = make(tmp_path / name, {"a.jpg": os.urandom(50_000)})
    whole.write_bytes(whole.read_bytes()[:30_000])
    with pytest.raises(DataError, match="is damaged or cut off"):
        unpack(whole, tmp_path / "to", (), ignored)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_damaged_member_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.jpg", b"x" * 1000)
    path.write_bytes(path.read_bytes().replace(b"xxxxx", b"xxyxx", 1))
    with pytest.raises(DataError, match=r"is damaged or cut off \(Bad CRC"):
        unpack(path, tmp_path / "to", (), ignored)


def test_a_missing_inner_archive_is_said(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    with pytest.raises(DataError, match=r"gone\.tar: is not in its archive"):
        unpack(archive, tmp_path / "to", ["gone.tar"], ignored)
