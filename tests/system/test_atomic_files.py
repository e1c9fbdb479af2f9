"""Files are whole or absent, whatever happens while they are written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.compute.file_sync import sync_all
from hpc_xfer.errors import StoreError
from hpc_xfer.system import atomic_files, set_aside

AS_ROOT = os.geteuid() == 0
# Names that break shell scripts and naive parsers.
NAMES = ["plain", "with space", "with\nnewline", "quote'\"", "ünï", "-rf"]
# A child that may write 64 kB per file and no more: what a full disk or a quota looks like.
SMALL_DISK = """
import resource, signal, sys
from pathlib import Path
from hpc_xfer.system import atomic_files, set_aside
from hpc_xfer.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    {call}
except StoreError as error:
    print(error)
"""


def on_a_small_disk(call: str, path: Path) -> str:
    code = SMALL_DISK.format(call=call)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back_and_nothing_else_is_left(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / f"{name}.json"
    atomic_files.write_json(path, {"b": [1, None], "a": 0.1})
    assert atomic_files.read_json(path) == {"a": 0.1, "b": [1, None]}
    assert names(path.parent) == [path.name]


def test_the_same_value_gives_the_same_bytes(tmp_path: Path) -> None:
    atomic_files.write_json(tmp_path / "a", {"x": 1, "y": 2})
    atomic_files.write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == b'{\n  "x": 1,\n  "y": 2\n}\n'


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic_files.write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic_files.write_json(path, float("nan"))
    assert (atomic_files.read_json(path), names(tmp_path)) == (1, ["a.json"])


def test_a_writer_that_fails_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_files.write_text(path, "old")

    def write(file: object) -> None:
        getattr(file, "write")(b"half")  # noqa: B009
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError):
        atomic_files.write_atomically(path, write)
    assert (path.read_text(), names(tmp_path)) == ("old", ["a"])


def test_files_of_a_shared_store_get_the_rights_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_files.write_text(tmp_path / "a", "x")
        atomic_files.create_exclusively(tmp_path / "b", b"x")
        atomic_files.append_line(tmp_path / "c", "x")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_a_full_disk_is_one_sentence_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_files.write_text(path, "old")
    told = on_a_small_disk("atomic_files.write_bytes(Path(sys.argv[1]), bytes(100_000))", path)
    assert told == (
        f"{path}: cannot be written (File too large); free space or fix the permissions, then "
        "try again"
    )
    assert (path.read_text(), names(tmp_path)) == ("old", ["a"])


def test_a_full_disk_leaves_nothing_of_a_file_that_was_to_be_new(tmp_path: Path) -> None:
    path = tmp_path / "a"
    call = "atomic_files.create_exclusively(Path(sys.argv[1]), bytes(100_000))"
    assert on_a_small_disk(call, path).startswith(f"{path}: cannot be written (File too large)")
    assert names(tmp_path) == []


def test_half_a_line_is_told_not_taken_for_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    told = on_a_small_disk("atomic_files.append_line(Path(sys.argv[1]), 'x' * 100_000)", path)
    assert told.startswith(f"{path}: cannot be written (No space left on device)")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page or so."""
    if not AS_ROOT:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_says_so(tiny_disk: Path) -> None:
    with pytest.raises(StoreError, match="No space left on device"):
        atomic_files.write_bytes(tiny_disk / "a", bytes(200_000))
    assert names(tiny_disk) == []
    atomic_files.write_bytes(tiny_disk / "a", bytes(1000))


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    for write in (atomic_files.write_text, atomic_files.append_line):
        with pytest.raises(StoreError, match="Permission denied"):
            write(folder / "a", "x")


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StoreError) as caught:
        atomic_files.write_text(tmp_path / "a/b", "x")
    assert str(caught.value).startswith(f"{tmp_path}/a/b: cannot be written (")
    assert atomic_files.read_json(tmp_path / "a/b") is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"\0" * 100])
def test_what_is_not_whole_json_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert atomic_files.read_json(tmp_path / "a") is None
    assert atomic_files.read_json(tmp_path / "gone") is None


def test_a_folder_or_a_link_in_place_of_a_file_is_set_aside_and_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("/etc/hostname")
    set_aside.take()
    assert atomic_files.read_json(tmp_path / "a") is None
    assert atomic_files.read_json(tmp_path / "b") is None
    assert set_aside.take() == {
        str(tmp_path / "a"): "is not a regular file",
        str(tmp_path / "b"): "is a link",
    }


def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "record.json")
    assert atomic_files.read_json(tmp_path / "record.json") is None


def test_a_line_is_not_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'\n")
    (tmp_path / "launches.jsonl").symlink_to(".bashrc")
    with pytest.raises(StoreError, match="is a link, and is not written through; remove it"):
        atomic_files.append_line(tmp_path / "launches.jsonl", "id")
    assert (tmp_path / ".bashrc").read_text() == "alias ll='ls -l'\n"


def test_of_twenty_processes_exactly_one_creates_a_file(tmp_path: Path) -> None:
    """All wait for one line, so that they race."""
    code = (
        "import sys; from pathlib import Path; from hpc_xfer.system import atomic_files\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(atomic_files.create_exclusively(Path(sys.argv[1]), sys.argv[2].encode()))"
    )
    path = tmp_path / "claim"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(i)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for i in range(20)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [i for i, racer in enumerate(racers) if "True" in racer.communicate()[0]]
    assert [racer.returncode for racer in racers] == [0] * 20
    assert [str(i) for i in won] == [path.read_text()]
    assert names(tmp_path) == ["claim"]


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    for text in ("one", "zwei ü", "three"):
        atomic_files.append_line(tmp_path / "new folder/log", text)
    assert (tmp_path / "new folder/log").read_text().splitlines() == ["one", "zwei ü", "three"]


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert atomic_files.sha256(tmp_path / "a").startswith("f4096a131e7e6ebf")


def test_a_prepared_file_appears_when_it_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "new folder/a"
    temporary = atomic_files.prepare(path, b"whole")
    assert not path.exists()
    sync_all([temporary])
    atomic_files.rename(temporary, path)
    assert (path.read_bytes(), names(path.parent)) == (b"whole", ["a"])


def test_a_prepared_file_on_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    call = "atomic_files.prepare(Path(sys.argv[1]), bytes(100_000))"
    assert "cannot be written (File too large)" in on_a_small_disk(call, tmp_path / "a")
    assert names(tmp_path) == []


def test_many_files_are_synced_together_and_a_missing_one_is_told(tmp_path: Path) -> None:
    files = [atomic_files.prepare(tmp_path / str(i), b"x") for i in range(3)]
    sync_all(files)
    files[0].unlink()
    with pytest.raises(StoreError, match="cannot be written"):
        sync_all(files)


def test_a_folder_in_which_nobody_can_make_one_is_told_at_once() -> None:
    """As below an automounter: `mkdir` says that there is no such folder, though it is there."""
    with pytest.raises(FileNotFoundError):
        atomic_files.make_folder(Path("/proc/no such/runs"))
    with pytest.raises(StoreError, match="cannot be written"):
        atomic_files.write_text(Path("/proc/no such/a.csv"), "a")
