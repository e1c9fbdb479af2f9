"""Arrays on disk that many processes share: one writes, and what is odd is left out."""

import hashlib
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer.compute.downstream.array_format import DamagedCacheError, Rows
from hpc_xfer.compute.downstream.cached_array import ArrayFile, CachedArray, WriteClaim
from hpc_xfer.store.ownership.leases import LeaseFolder
from tests import tiny
from tests.waiting import wait_for

N = 500
TABLE = np.random.default_rng(0).integers(0, 256, (N, 3, 40, 40), dtype=np.uint8)


def quiet() -> None:
    """No sign of life is wanted."""


def slot(root: Path, version: int = 1, patience: float = 60.0) -> CachedArray:
    folder = root / "a cache"
    return CachedArray(folder, {"version": version}, TABLE.shape, TABLE.dtype, patience)


def batches() -> Iterator[Rows]:
    return iter(np.array_split(TABLE, 7))


def never() -> Iterator[Rows]:
    raise AssertionError("made again")


def test_an_array_is_made_once_and_read_by_rows(tmp_path: Path) -> None:
    made = slot(tmp_path).made(batches, quiet)
    again = slot(tmp_path).made(never, quiet)
    assert made is not None and again is not None
    chosen = np.array([3, 4, 5, 499, 0, 0, 77])
    assert np.array_equal(again.rows(chosen), TABLE[chosen])
    assert np.array_equal(again.whole(), TABLE)
    assert slot(tmp_path).times_made() == 1
    assert {path.name for path in slot(tmp_path).folder.iterdir()} == {"array", "writers"}


def test_the_place_of_an_array_depends_on_all_that_it_is(tmp_path: Path) -> None:
    u1, f4 = np.dtype("u1"), np.dtype("<f4")
    folders = {
        CachedArray.keyed(tmp_path, what, shape, dtype).folder
        for what in ({"a": 1}, {"a": 2})
        for shape in ((2, 3), (3, 2))
        for dtype in (u1, f4)
    }
    assert len(folders) == 8
    one = CachedArray.keyed(tmp_path, {"a": 1, "b": 2}, (2,), u1)
    assert one.folder == CachedArray.keyed(tmp_path, {"b": 2, "a": 1}, (2,), u1).folder


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_by_a_byte(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0" * 81)


def described_otherwise(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"version": 1', b'"version": 2'))


def replaced_by_another_version(path: Path) -> None:
    other = slot(path.parent.parent / "elsewhere", version=2)
    assert other.made(batches, quiet) is not None
    os.replace(other.path, path)


@pytest.mark.parametrize(
    "harm",
    [
        *(cut_in_half, cut_by_a_byte, emptied, lengthened),
        *(described_otherwise, replaced_by_another_version),
    ],
    ids=lambda harm: harm.__name__,
)
def test_an_odd_array_is_left_out_with_one_line_and_made_again(
    harm: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = slot(tmp_path)
    assert place.made(batches, quiet) is not None
    harm(place.path)
    with caplog.at_level(logging.WARNING):
        assert place.open() is None and place.open() is None
    assert len(caplog.messages) == 1 and "the cache is left out (it" in caplog.messages[0]
    found = place.made(batches, quiet)
    assert found is not None and np.array_equal(found.whole(), TABLE)


def test_a_changed_byte_is_found_when_its_block_is_read(tmp_path: Path) -> None:
    place = slot(tmp_path)
    assert place.made(batches, quiet) is not None
    with open(place.path, "r+b") as file:
        file.seek(TABLE[:450].nbytes)
        file.write(b"\x01\x02\x03")
    found = slot(tmp_path).made(never, quiet)
    assert found is not None
    assert np.array_equal(found.rows(np.arange(10)), TABLE[:10])
    with pytest.raises(DamagedCacheError, match="rows 436 to 499 have another checksum"):
        found.rows(np.array([499]))


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b"[]", b"{}", b'{"crc32": 1}', b'{"crc32": "zz"}', b"\xff", b""]
)
def test_an_array_that_is_described_by_something_else_is_left_out(
    line: bytes, tmp_path: Path
) -> None:
    place = slot(tmp_path)
    assert place.made(batches, quiet) is not None
    size = len(TABLE.tobytes())
    real = place.path.read_bytes()[size:-81]
    for text in (line, line.ljust(len(real))):  # the second has the length of the real one
        end = text + f"{hashlib.sha256(text).hexdigest()} {len(text):016}".encode()
        place.path.write_bytes(TABLE.tobytes() + end)
        assert slot(tmp_path).open() is None


def test_a_length_of_terabytes_takes_no_memory(tmp_path: Path) -> None:
    place = slot(tmp_path)
    assert place.made(batches, quiet) is not None
    claimed = 1 << 42
    with open(place.path, "r+b") as file:
        file.truncate(TABLE.nbytes + claimed)  # a file of holes
        file.seek(0, os.SEEK_END)
        file.write(b"0" * 64 + f" {claimed:016}".encode())
    assert slot(tmp_path).open() is None


def test_an_array_that_is_cut_while_it_is_open_is_an_error_and_no_bus_error(tmp_path: Path) -> None:
    found = slot(tmp_path).made(batches, quiet)
    assert found is not None
    cut_in_half(slot(tmp_path).path)
    with pytest.raises(DamagedCacheError, match="it was cut off"):
        found.rows(np.array([499]))


def test_an_open_array_stays_readable_when_another_replaces_it(tmp_path: Path) -> None:
    found = slot(tmp_path).made(batches, quiet)
    slot(tmp_path).remove()
    assert slot(tmp_path).made(batches, quiet) is not None
    assert found is not None and np.array_equal(found.whole(), TABLE)


def test_an_error_of_what_makes_the_rows_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> Iterator[Rows]:
        yield TABLE[:50]
        raise ValueError("an image is damaged")

    with pytest.raises(ValueError, match="an image is damaged"):
        slot(tmp_path).made(failing, quiet)
    assert [path.name for path in slot(tmp_path).folder.iterdir()] == ["writers"]
    assert slot(tmp_path).times_made() == 0
    assert slot(tmp_path).made(batches, quiet) is not None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a cache").write_bytes(b"a file stands in the way")
    assert slot(tmp_path).made(never, quiet) is None


# Two processes at once.


def written_slowly(root: Path) -> None:
    """Write when the other process waits, which it shows by a file."""

    def rows() -> Iterator[Rows]:
        (root / "begun").touch()
        yield TABLE[:100]
        wait_for((root / "waiting").exists)
        yield TABLE[100:]

    assert slot(root).made(rows, quiet) is not None


def waits_for_the_writer(root: Path) -> None:
    wait_for((root / "begun").exists)
    found = slot(root).made(never, (root / "waiting").touch)
    assert found is not None and np.array_equal(found.whole(), TABLE)


def test_of_two_processes_one_writes_and_the_other_waits(tmp_path: Path) -> None:
    both = [tiny.child(f, tmp_path) for f in (written_slowly, waits_for_the_writer)]
    assert tiny.join(both) == [0, 0]
    assert slot(tmp_path).times_made() == 1


def killed_while_writing(root: Path) -> None:
    def rows() -> Iterator[Rows]:
        yield TABLE[:100]
        os.kill(os.getpid(), signal.SIGKILL)

    slot(root).made(rows, quiet)


def test_what_a_killed_writer_left_is_removed_and_the_array_is_written(tmp_path: Path) -> None:
    assert tiny.join([tiny.child(killed_while_writing, tmp_path)]) == [-signal.SIGKILL]
    assert [path for path in slot(tmp_path).folder.iterdir() if path.suffix == ".tmp"]
    found = slot(tmp_path).made(batches, quiet)
    assert found is not None and np.array_equal(found.whole(), TABLE)
    assert {path.name for path in slot(tmp_path).folder.iterdir()} == {"array", "writers"}


def claims_and_hangs(root: Path) -> None:
    assert isinstance(slot(root).open_or_claim(quiet), WriteClaim)
    (root / "begun").touch()
    wait_for((root / "end").exists)


def test_a_writer_that_hangs_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = tiny.child(claims_and_hangs, tmp_path)
    wait_for((tmp_path / "begun").exists)
    with caplog.at_level(logging.WARNING):
        assert slot(tmp_path, patience=0.1).made(never, quiet) is None
    assert "its writer shows no progress" in caplog.text
    (tmp_path / "end").touch()
    assert tiny.join([hanging]) == [0]


def test_a_process_does_not_wait_for_itself(tmp_path: Path) -> None:
    """On a full disk it may not have been able to release its claim."""
    assert isinstance(slot(tmp_path).open_or_claim(quiet), WriteClaim)
    assert slot(tmp_path).made(never, quiet) is None


def on_a_full_disk(root: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    assert slot(root).made(batches, quiet) is None
    assert [path.name for path in slot(root).folder.iterdir()] == ["writers"]


def test_a_full_disk_leaves_no_half_array_and_is_no_error(tmp_path: Path) -> None:
    assert tiny.join([tiny.child(on_a_full_disk, tmp_path)]) == [0]
    assert isinstance(slot(tmp_path).made(batches, quiet), ArrayFile)


def test_claims_are_leases_that_say_whether_the_array_was_made(tmp_path: Path) -> None:
    slot(tmp_path).made(batches, quiet)
    leases = LeaseFolder(slot(tmp_path).folder / "writers", "cached array", 60.0)
    assert [lease["made"] for lease in leases.history()] == [True]
    assert not leases.is_alive()
