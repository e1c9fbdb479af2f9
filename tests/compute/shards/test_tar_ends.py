"""The end of a tar: padding is accepted, anything else that follows it is refused."""

import tarfile
from pathlib import Path

import pytest

from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.errors import DataError
from tests.tars import write_tar

SIZE = 3_000  # of an image; with headers, padding and caption a sample has 4,608 bytes
SAMPLE = 4_608


def shard(path: Path, n: int, first: int = 0) -> Path:
    names = range(first, first + n)
    return write_tar(
        path,
        [
            member
            for i in names
            for member in ((f"{i:03d}.jpg", b"\xff" * SIZE), (f"{i:03d}.txt", b"caption"))
        ],
    )


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_shard(path)
    return str(caught.value).removeprefix(f"{path}: ")


def lose(path: Path, start: int, end: int | None = None) -> Path:
    """A part of the file is a hole, as where a download into a preallocated file stopped."""
    data = bytearray(path.read_bytes())
    end = len(data) if end is None else end
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


def test_a_preallocated_file_whose_tail_was_never_written_is_refused(tmp_path: Path) -> None:
    """20 of 64 samples were written: the rest looks like the end mark and long padding."""
    path = lose(shard(tmp_path / "a.tar", 64), 20 * SAMPLE)
    expected = (
        "holds nothing but zeros from byte 92,160 to its end at byte 296,960, after 20 samples; "
        "that is more than padding, so its last part was never written: copy it again, or, if it "
        "has all samples, run `truncate -s 93184` on it"
    )
    assert refusal(path) == expected
    with pytest.raises(DataError, match="holds nothing but zeros from byte 92,160"):
        index_folder(tmp_path)


def test_the_way_out_for_a_tar_with_a_long_tail_is_right(tmp_path: Path) -> None:
    path = lose(shard(tmp_path / "a.tar", 64), 20 * SAMPLE)
    with path.open("r+b") as file:
        file.truncate(93184)
    assert len(open_shard(path)) == 20


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 512 + 7])
def test_a_sparse_file_that_was_never_written_at_all_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.truncate(size)
    assert refusal(path).startswith(
        f"holds nothing but zeros from byte 0 to its end at byte {size:,}"
    )


def test_members_after_a_hole_are_not_left_out_in_silence(tmp_path: Path) -> None:
    path = lose(shard(tmp_path / "a.tar", 64), 20 * SAMPLE, 40 * SAMPLE)
    assert refusal(path) == (
        "holds data after its end, at byte 184,320, after 20 samples; a part was never written, "
        "or tars were joined: copy it again, or unpack it with `tar --ignore-zeros` and pack it "
        "again"
    )


def test_members_after_one_block_of_zeros_are_found(tmp_path: Path) -> None:
    path = lose(shard(tmp_path / "a.tar", 8), 3 * SAMPLE, 3 * SAMPLE + 512)
    assert "holds data after its end, at byte 14,336, after 3 samples" in refusal(path)


def test_two_tars_joined_by_cat_are_refused(tmp_path: Path) -> None:
    one, two = shard(tmp_path / "1.tar", 5), shard(tmp_path / "2.tar", 5, first=5)
    size = one.stat().st_size
    one.write_bytes(one.read_bytes() + two.read_bytes())
    assert f"holds data after its end, at byte {size:,}, after 5 samples" in refusal(one)


@pytest.mark.parametrize("garbage", [b"x", bytes(700) + b"\n", bytes(3 << 20) + b"x"])
def test_a_byte_after_the_end_is_refused_wherever_it_is(tmp_path: Path, garbage: bytes) -> None:
    path = shard(tmp_path / "a.tar", 5)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + garbage)
    assert f"holds data after its end, at byte {size + len(garbage) - 1:,}" in refusal(path)


@pytest.mark.parametrize("blocks", [1, 2, 3, 20, 22])
def test_a_tar_may_end_with_one_block_of_zeros_or_a_whole_record(
    tmp_path: Path, blocks: int
) -> None:
    path = shard(tmp_path / "a.tar", 5)
    path.write_bytes(path.read_bytes()[: 5 * SAMPLE] + bytes(512 * blocks))
    if blocks < 22:
        found = open_shard(path)
        assert (len(found), found.passed_over) == (5, ())
    else:
        assert "more than padding" in refusal(path)


def test_padding_to_a_record_of_a_tape_is_accepted_and_told(tmp_path: Path) -> None:
    """`tar --blocking-factor=256` fills a tar up to a multiple of 131,072 bytes."""
    path = shard(tmp_path / "a.tar", 5)
    data = path.read_bytes()[: 5 * SAMPLE]
    path.write_bytes(data.ljust(131_072, b"\0"))
    found = open_shard(path)
    assert len(found) == 5
    assert found.passed_over == (
        (
            "bytes of zeros after the end (padding for tapes, or a part that was never written)",
            131_072 - 5 * SAMPLE,
            "byte 23,040",
        ),
    )
    path.write_bytes(data.ljust(131_072 - 512, b"\0"))
    assert "more than padding" in refusal(path)


def test_an_empty_tar_is_a_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    assert len(open_shard(tmp_path / "a.tar")) == 0
