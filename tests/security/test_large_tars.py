"""Tars that others have made: headers, names and fields of any size cost little."""

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from hpc_xfer.compute.shard_tools import build_index, verify
from hpc_xfer.compute.shards.labels import BadJson, BadLabel, json_label, json_object
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.dataset_tools.unpack import unpack
from hpc_xfer.errors import DataError
from tests.tars import png, write_tar


def raw(name: str, kind: bytes, size: int) -> bytes:
    """A header without data."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.USTAR_FORMAT)


FIRST = raw("1.png", b"0", 0)  # a sound member


def sparse(path: Path, head: bytes, size: int) -> Path:
    """A file that begins with `head`; the rest takes no room on the disk."""
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)
    return path


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_of_a_gigabyte_is_not_read(tmp_path: Path, kind: bytes) -> None:
    size = 1 << 30
    path = sparse(tmp_path / "0.tar", FIRST + raw("a", kind, size), size + 20_480)
    with pytest.raises(DataError, match="is cut off or damaged after 1 samples"):
        open_shard(path)
    with pytest.raises(DataError, match="a header of 1,073,741,824 bytes"):
        unpack(path, tmp_path / "out", (), lambda done, total: None)


def test_a_thousand_headers_before_one_file_are_damage(tmp_path: Path) -> None:
    header = raw("a", b"x", 10) + b"10 path=a\n".ljust(512, b"\0")
    path = tmp_path / "0.tar"
    path.write_bytes(FIRST + header * 1000 + raw("0.txt", b"0", 0) + bytes(10_240))
    with pytest.raises(DataError, match="is cut off or damaged"):
        open_shard(path)


def test_a_path_of_16_000_parts_is_no_sample(tmp_path: Path) -> None:
    name = "a.b/" * 16_000 + "0.png"
    path = write_tar(tmp_path / "0.tar", [("1.png", png()), (name, png()), ("2.png", png())])
    shard = open_shard(path)
    assert list(shard.keys) == ["1", "2"]
    (left_out,) = shard.passed_over
    assert left_out.what == "files with a path of more than 4,096 characters"
    assert len(left_out.first) <= 4096
    assert verify.check(tmp_path).samples == 2


def test_keys_end_at_the_first_dot_of_the_base_name(tmp_path: Path) -> None:
    names = ["a.b/c.d/0.x.PNG", "a/.hidden.png", "a/none", "x/..png", "__meta__/0.png", "b\n/1.png"]
    path = write_tar(tmp_path / "0.tar", [(name, b"1") for name in names])
    shard = open_shard(path)
    found = [(key, *members) for key, members in zip(shard.keys, shard.members, strict=True)]
    assert found == [("a.b/c.d/0", "x.png"), ("b\n/1", "png")]


@pytest.mark.parametrize(
    ("field", "size"), [("txt", (1 << 20) + 1), ("json", (8 << 20) + 1), ("png", (64 << 20) + 1)]
)
def test_a_large_field_is_not_read_and_is_counted(tmp_path: Path, field: str, size: int) -> None:
    members = [("0.png", png()), ("0.txt", b"a dog"), ("0.json", b'{"a": "b"}')]
    members = [(name, bytes(size) if name == f"0.{field}" else data) for name, data in members]
    path = write_tar(tmp_path / "0.tar", members)
    with pytest.raises(DataError, match=f"sample 0 has a {field} of"):
        open_shard(path).read(0)
    report = build_index.index_folder(tmp_path)
    assert any(f"{field}" in each and "more than" in each for each in report.warnings) or any(
        "an image of more than 64 MB" in each for each in report.warnings
    )
    assert any("more than" in problem.what for problem in verify.check(tmp_path).problems)


@pytest.mark.parametrize(
    "content",
    [b"[" * 5_000_000, b'{"a":' * 1_000_000, b"9" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_json_of_any_depth_and_numbers_of_any_length_are_bad_json(content: bytes) -> None:
    with pytest.raises(BadJson, match="its json"):
        json_object(content)


@pytest.mark.parametrize("number", ["1e308", "9" * 4000, "1e999", "NaN"])
def test_a_number_that_is_no_class_is_told_in_short(number: str) -> None:
    with pytest.raises(BadLabel) as refused:
        json_label(json.loads(f'{{"label": {number}}}'), "label")
    assert len(str(refused.value)) < 200


def test_an_archive_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path: Path) -> None:
    path, megabytes = tmp_path / "set.tar.gz", 1100
    zeros = gzip.compress(bytes(1 << 20), 9)  # parts of a gzip follow each other
    path.write_bytes(gzip.compress(raw("zeros.bin", b"0", megabytes << 20)) + zeros * megabytes)
    with pytest.raises(DataError, match="more than 200 times its size, so nothing was unpacked"):
        unpack(path, tmp_path / "out", (), lambda done, total: None)


def test_an_ordinary_archive_is_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", [("a/0.png", png()), ("a/" + "b" * 200 + ".png", png())])
    assert unpack(path, tmp_path / "out", (), lambda done, total: None) == ["a"]
    assert len(list((tmp_path / "out/a").iterdir())) == 2


def test_a_map_of_a_sparse_file_ends(tmp_path: Path) -> None:
    header = bytearray(raw("0.png", b"S", 512))
    header[257:265], header[482] = b"ustar  \0", 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more = bytearray(512)
    more[504] = 1
    (tmp_path / "0.tar").write_bytes(FIRST + bytes(header) + bytes(more) * 20_000 + bytes(10_240))
    with pytest.raises(DataError, match="is cut off or damaged"):
        open_shard(tmp_path / "0.tar")
