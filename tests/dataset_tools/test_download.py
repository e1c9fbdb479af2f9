import hashlib
import random
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.config.dataset_cards import Archive
from hpc_xfer.dataset_tools.download import Patience, check_sum, download
from hpc_xfer.errors import DataError
from tests.dataset_tools.server import (
    Server,
    breaks_off,
    ignores_range,
    sends_a_part_from,
    stalls,
    status,
)

DATA = random.Random(0).randbytes(300_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server({"a.zip": DATA}) as running:
        yield running


class Waits(list):
    """Remembers how long a download wanted to wait, and does not wait."""

    def patience(self, tries: int = 3) -> Patience:
        return Patience(tries, 10, self.append)


def get(server: Server, to: Path, patience: Patience | None = None) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    download(
        f"{server.url}/a.zip",
        to,
        lambda done, total: seen.append((done, total)),
        patience or Waits().patience(),
    )
    return seen


def ranges(server: Server) -> list[str | None]:
    return [request["range"] for request in server.requests]


def test_a_file_arrives_whole_and_leaves_nothing_else(server: Server, tmp_path: Path) -> None:
    seen = get(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert seen[0] == (0, len(DATA)) and seen[-1] == (len(DATA), len(DATA))


def test_a_broken_connection_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.faults += [breaks_off(100_000), breaks_off(50_000)]
    get(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_that_stalls_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.faults += [stalls(100_000)]
    get(server, tmp_path / "a.zip", Patience(3, 0.5, lambda seconds: None))
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_second_call_goes_on_where_the_first_one_ended(server: Server, tmp_path: Path) -> None:
    server.faults += [breaks_off(100_000), status(503), status(503)]
    with pytest.raises(DataError) as caught:
        get(server, tmp_path / "a.zip", Waits().patience(tries=2))
    assert str(caught.value) == (
        f"{server.url}/a.zip: the server answers 503 (Service Unavailable), 2 times in a row; "
        "100 kB are kept, so call again later to go on, or name a --mirror"
    )
    seen = get(server, tmp_path / "a.zip")
    assert seen[0] == (100_000, 300_000)
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_date_serves_where_there_is_no_tag(tmp_path: Path) -> None:
    with Server({"a.zip": DATA}, tags=False, dated=True) as server:
        server.faults += [breaks_off(100_000)]
        get(server, tmp_path / "a.zip")
    assert ranges(server) == [None, "bytes=100000-"]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_without_tag_and_date_it_begins_anew(tmp_path: Path) -> None:
    with Server({"a.zip": DATA}, tags=False) as server:
        server.faults += [breaks_off(100_000)]
        get(server, tmp_path / "a.zip")
    assert ranges(server) == [None, None]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_server_that_cannot_send_parts_sends_all(server: Server, tmp_path: Path) -> None:
    server.faults += [breaks_off(100_000), ignores_range]
    get(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_server_that_always_breaks_off_and_sends_no_parts_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    waits = Waits()
    server.tags = False
    server.faults += [breaks_off(100_000)] * 9
    with pytest.raises(DataError, match="the connection ended after 100 kB of 300 kB, 3 times"):
        get(server, tmp_path / "a.zip", waits.patience())
    assert waits == [1, 2, 4]


def test_a_file_that_changed_begins_anew(server: Server, tmp_path: Path) -> None:
    server.faults += [breaks_off(100_000)]
    newer = DATA[::-1]

    def change(seconds: float) -> None:
        server.files["a.zip"] = newer

    get(server, tmp_path / "a.zip", Patience(3, 10, change))
    assert ranges(server) == [None, "bytes=100000-"]
    assert (tmp_path / "a.zip").read_bytes() == newer


@pytest.mark.parametrize("begin", [100_000, 50_000])
def test_a_part_of_another_version_or_place_is_not_used(
    server: Server, tmp_path: Path, begin: int
) -> None:
    server.faults += [breaks_off(100_000), sends_a_part_from(begin)]
    get(server, tmp_path / "a.zip")
    assert ranges(server) == [None, "bytes=100000-", None]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_file_that_became_shorter_begins_anew(server: Server, tmp_path: Path) -> None:
    server.faults += [breaks_off(100_000), status(416)]
    get(server, tmp_path / "a.zip")
    assert ranges(server) == [None, "bytes=100000-", None]


def test_a_busy_server_is_asked_again_after_longer_and_longer(
    server: Server, tmp_path: Path
) -> None:
    waits = Waits()
    server.faults += [status(503), status(503)]
    get(server, tmp_path / "a.zip", waits.patience())
    assert waits == [2, 4]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_missing_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(DataError) as caught:
        get(server, tmp_path / "a.zip")
    assert str(caught.value) == (
        f"{server.url}/a.zip: the server answers 404 (Not Found); look for the file on the home "
        "page of the data set, or name a --mirror"
    )
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/a.zip"
        with pytest.raises(DataError) as caught:
            download(url, tmp_path / "a.zip", lambda done, total: None, Waits().patience())
    assert str(caught.value) == (
        f"{url}: cannot be reached (Connection refused), 3 times in a row; 0 B are kept, so "
        "call again later to go on, or name a --mirror"
    )


def test_only_the_web_is_asked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^file:///etc/hosts: must begin with http"):
        download("file:///etc/hosts", tmp_path / "a", lambda done, total: None, Patience())


def test_what_arrived_is_kept_when_the_user_interrupts(server: Server, tmp_path: Path) -> None:
    server.faults += [breaks_off(100_000)]

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path / "a.zip", Patience(3, 10, interrupt))
    assert (tmp_path / "a.zip.part").read_bytes() == DATA[:100_000]


def test_a_process_that_was_killed_before_the_last_step_asks_for_nothing(
    server: Server, tmp_path: Path
) -> None:
    server.faults += [breaks_off(299_999)]
    with pytest.raises(DataError):
        get(server, tmp_path / "a.zip", Waits().patience(tries=0))
    (tmp_path / "a.zip.part").write_bytes(DATA)
    get(server, tmp_path / "a.zip")
    assert len(server.requests) == 1
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_disk_that_takes_no_more_is_one_sentence_and_a_later_call_goes_on(
    server: Server, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(DataError) as caught:
            get(server, tmp_path / "a.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        f"{tmp_path}/a.zip.part: cannot be written (File too large); free space or fix the "
        "permissions, then call again to go on"
    )
    get(server, tmp_path / "a.zip")
    assert ranges(server) == [None, "bytes=200000-"]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_part_that_cannot_be_removed_is_no_fault_of_the_network(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "a.zip.part").mkdir()
    with pytest.raises(DataError, match=r"a\.zip\.part: cannot be written \(Is a directory\)"):
        get(server, tmp_path / "a.zip")
    assert len(server.requests) == 1


def test_too_little_space_is_said_before_anything_arrives(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"300 PB|TB are needed for a\.zip and what is in it, but"):
        download(
            f"{server.url}/a.zip",
            tmp_path / "a.zip",
            lambda done, total: None,
            Waits().patience(),
            room=1e12,
        )
    assert (tmp_path / "a.zip.part").exists() is False


def test_a_wrong_checksum_says_both_and_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"wrong")
    found, expected = hashlib.md5(b"wrong").hexdigest(), "0" * 32
    with pytest.raises(DataError) as caught:
        check_sum(Archive(url="x/a.zip", md5=expected), path, lambda done, total: None)
    assert str(caught.value) == (
        f"{path}: has md5 {found}, expected {expected}; removed it, so fetch again or from another "
        "--mirror"
    )
    assert not path.exists()


def test_a_wrong_size_says_both_and_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"wrong")
    with pytest.raises(DataError, match="has 5 bytes, expected 1,000; removed it"):
        check_sum(Archive(url="x/a.zip", bytes=1000), path, lambda done, total: None)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_right_checksum_is_accepted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(DATA)
    digest = hashlib.new(kind, DATA).hexdigest()
    archive = Archive.model_validate({"url": "x/a.zip", kind: digest})
    check_sum(archive, path, lambda done, total: None)
    assert path.exists()
