"""The headers of tars of any writer: the fast reader finds what tarfile finds."""

import io
import itertools
import tarfile
from pathlib import Path

import pytest

from hpc_xfer.compute.shards.tar_damage import DamagedTar
from hpc_xfer.compute.shards.tar_headers import Member, members

NAMES = ("a/0.jpg", "d/" * 60 + "1.jpg", "x" * 120 + ".jpg", "é.txt", "2.cls")
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def write(
    path: Path, tar_format: int, time: float = 1.7e9, note: dict[str, str] | None = None
) -> Path:
    with tarfile.open(path, "w", format=tar_format, encoding="utf-8") as tar:
        for name, size in zip(NAMES, (0, 1, 511, 512, 513), strict=True):
            if tar_format == tarfile.USTAR_FORMAT and len(name) > 120:
                continue  # too long for this format
            member = tarfile.TarInfo(name)
            member.size, member.mtime = size, time
            member.pax_headers = note or {}
            tar.addfile(member, io.BytesIO(bytes(size)))
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE):
            other = tarfile.TarInfo("other")
            other.type, other.linkname = kind, "a/0.jpg"
            tar.addfile(other)
        tar.addfile(tarfile.TarInfo("last.txt"))
    return path


def by_tarfile(path: Path) -> list[Member]:
    kinds = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link"}
    with tarfile.open(path, encoding="utf-8") as tar:
        return [Member(m.name, m.offset_data, m.size, kinds.get(m.type, "other")) for m in tar]


@pytest.mark.parametrize("tar_format", FORMATS, ids=["ustar", "gnu", "pax"])
@pytest.mark.parametrize("time", [1.7e9, 1.7e9 + 0.25], ids=["whole", "fraction"])
@pytest.mark.parametrize("note", [{}, {"comment": "é"}, {"size": "7"}], ids=["", "note", "size"])
def test_the_members_are_those_that_tarfile_finds(
    tar_format: int, time: float, note: dict[str, str], tmp_path: Path
) -> None:
    """Times with fractions of a second, as WebDataset writes them, need a header of their own."""
    path = write(tmp_path / "a.tar", tar_format, time, note)
    found = members(path)
    if "size" in note and tar_format == tarfile.PAX_FORMAT:
        with pytest.raises(DamagedTar):  # it contradicts the data
            list(found)
    else:
        assert list(found) == by_tarfile(path)


@pytest.mark.parametrize("time", [1.7e9, 1.7e9 + 0.25], ids=["whole", "fraction"])
def test_a_changed_bit_in_any_header_is_found(time: float, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", tarfile.PAX_FORMAT, time)
    whole = path.read_bytes()
    starts = [m.offset - tarfile.BLOCKSIZE for m in members(path)]
    for start, at in itertools.product(starts, (0, 99, 130, 150, 156, 400)):
        damaged = bytearray(whole)
        damaged[start + at] ^= 4
        path.write_bytes(damaged)
        with pytest.raises((DamagedTar, tarfile.ReadError)):
            list(members(path))


def test_a_tar_without_an_end_mark_is_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", tarfile.PAX_FORMAT)
    end = list(members(path))[-1].offset
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(DamagedTar) as caught:
        list(members(path))
    assert caught.value.at == end
