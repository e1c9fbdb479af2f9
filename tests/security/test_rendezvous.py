"""Strangers on the node and on the network who want to be a rank, or send ranks elsewhere."""

import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from torch._C._distributed_c10d import TCPStore

from hpc_xfer.compute.distributed import handshake, process_group
from hpc_xfer.compute.distributed.gate import Gate
from hpc_xfer.compute.distributed.handshake import Conversation, NotProven
from hpc_xfer.compute.distributed.rendezvous_file import (
    CALLED_OFF,
    Invitation,
    InvitationReader,
    call_off,
    invite,
)
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.errors import StoreError
from tests import tiny
from tests.security.conftest import Neighbor
from tests.security.listening_sockets import Address, listening

Found = TypeVar("Found")
HERE = Invitation("127.0.0.1", 40_123, secrets.token_bytes(32))
SECONDS = 60


def until(look: Callable[[], Found | None]) -> Found:
    """Look until there is something."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
    raise AssertionError("nothing came")


def rank(number: int, size: int, meeting: Path) -> None:
    """Join, tell where this process listens, and exchange something."""
    os.environ["SLURM_NNODES"] = "1"
    with process_group.join(number, size, number, meeting, StopSignal()) as world:
        (meeting.parent / f"{number}.listens").write_text(json.dumps([*listening(os.getpid())]))
        assert world.gather([{"rank": number}]) == [{"rank": each} for each in range(size)]


def test_a_group_listens_on_loopback_alone_where_all_ranks_are_on_one_node(tmp_path: Path) -> None:
    ranks = [tiny.child(rank, each, 2, tmp_path / "meeting.json") for each in range(2)]
    assert tiny.join(ranks, SECONDS) == [0, 0]
    for each in range(2):
        hosts = {host for host, _ in json.loads((tmp_path / f"{each}.listens").read_text())}
        assert hosts <= {"127.0.0.1"}


def test_before_all_ranks_are_there_rank_0_listens_at_the_told_address_alone(
    tmp_path: Path,
) -> None:
    zero = tiny.child(rank, 0, 2, tmp_path / "meeting.json")
    ports = until(lambda: two(zero.pid))
    assert {host for host, _ in ports} == {"127.0.0.1"}
    one = tiny.child(rank, 1, 2, tmp_path / "meeting.json")
    assert tiny.join([zero, one], SECONDS) == [0, 0]


def two(pid: int | None) -> set[Address]:
    """The ports of the gate and of the store, once both are there."""
    assert pid is not None
    found = listening(pid)
    return found if len(found) == 2 else set()


def test_a_stranger_at_the_store_is_cut_off_before_anything_is_exchanged(tmp_path: Path) -> None:
    """He sees the port, not the secret: as torch's own client, he reads and writes keys."""
    meeting = tmp_path / "meeting.json"
    zero = tiny.child(rank, 0, 2, meeting)
    ports = until(lambda: two(zero.pid))
    gate = until(lambda: told(meeting))
    [(host, port)] = ports - {gate}
    stranger = TCPStore(host, port, 2, False, timedelta(seconds=SECONDS))
    stranger.set("device/1", json.dumps({"rank": 1, "node": "evil", "type": "cpu"}))
    assert stranger.list_keys() == ["device/1"]  # no key of the group is there yet
    one = tiny.child(rank, 1, 2, meeting)
    assert tiny.join([zero, one], SECONDS) == [0, 0]
    with pytest.raises(RuntimeError):
        stranger.get("device/1")


def told(meeting: Path) -> Address | None:
    found = InvitationReader(meeting).read()
    return (found.host, found.port) if isinstance(found, Invitation) else None


def test_who_does_not_know_the_secret_is_turned_away_and_learns_nothing() -> None:
    with (
        Gate("127.0.0.1", 2, HERE.secret, store_port=7) as gate,
        socket.create_connection(("127.0.0.1", gate.port), SECONDS) as stranger,
    ):
        nonce = handshake.nonce()
        stranger.sendall(nonce)
        assert gate.wait(StopSignal(), 0.1) == {}
        welcome = stranger.recv(handshake.WELCOME_BYTES)
        talk = Conversation(secrets.token_bytes(32), nonce, welcome[: handshake.NONCE_BYTES])
        with pytest.raises(NotProven):
            talk.check_zero(welcome[handshake.NONCE_BYTES :])
        stranger.sendall(talk.tell_rank(1, 2))
        assert gate.wait(StopSignal(), 0.1) == {}
        assert ended(stranger)


def ended(connection: socket.socket) -> bool:
    """True if nothing came but the end."""
    with suppress(ConnectionError):
        return connection.recv(100) == b""
    return True


def test_the_proof_of_rank_0_does_not_prove_a_rank() -> None:
    """Who sends back what he got, or what another rank sent, has proven nothing."""
    talk = Conversation(HERE.secret, handshake.nonce(), handshake.nonce())
    other = Conversation(HERE.secret, handshake.nonce(), handshake.nonce())
    with pytest.raises(NotProven):
        talk.hear_rank(bytes(8) + talk.proof_of_zero(), 2)
    with pytest.raises(NotProven):
        talk.hear_rank(other.tell_rank(1, 2), 2)
    with pytest.raises(NotProven):  # a true rank of a group of another size
        talk.hear_rank(talk.tell_rank(1, 3), 2)
    assert talk.hear_rank(talk.tell_rank(1, 2), 2) == 1


def test_silent_strangers_hold_nobody_up(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting.json"
    zero = tiny.child(rank, 0, 2, meeting)
    gate = until(lambda: told(meeting))
    silent = [socket.create_connection(gate, SECONDS) for _ in range(900)]
    silent[-1].sendall(b"\x80\x04")  # and one that says half a word
    one = tiny.child(rank, 1, 2, meeting)
    assert tiny.join([zero, one], SECONDS) == [0, 0]
    for each in silent:
        each.close()


def test_a_file_of_an_earlier_start_joins_nobody(tmp_path: Path) -> None:
    """Its port may be that of another program by now, even of another start of ours."""
    meeting = tmp_path / "meeting.json"
    with Gate("127.0.0.1", 2, secrets.token_bytes(32), store_port=7) as other:
        invite(meeting, Invitation("127.0.0.1", other.port, HERE.secret))
        one = tiny.child(rank, 1, 2, meeting)
        until(lambda: other.wait(StopSignal(), 0.1) == {} and other.port)
        zero = tiny.child(rank, 0, 2, meeting)
        assert other.wait(StopSignal(), 0.5) == {}
        assert tiny.join([zero, one], SECONDS) == [0, 0]


def test_the_file_is_for_its_owner_alone_and_is_gone_once_all_are_there(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting.json"
    os.umask(0)
    zero = tiny.child(rank, 0, 2, meeting)
    until(lambda: told(meeting))
    assert meeting.stat().st_mode & 0o777 == 0o600
    assert tiny.join([zero, tiny.child(rank, 1, 2, meeting)], SECONDS) == [0, 0]
    assert not meeting.exists()


def test_a_file_that_a_neighbor_puts_there_sends_nobody_elsewhere(
    neighbor: Neighbor, lab: Path, caplog: pytest.LogCaptureFixture
) -> None:
    meeting = lab / "rendezvous-7-0-0.json"
    content = json.dumps({"host": "127.0.0.1", "port": 4444, "secret": "ab" * 32})
    planted = f"import os; os.umask(0o077); open({str(meeting)!r}, 'w').write({content!r})"
    assert neighbor.python(planted) == ""
    assert meeting.stat().st_mode & 0o777 == 0o600
    with caplog.at_level(logging.WARNING):
        reader = InvitationReader(meeting)
        assert reader.read() is None and reader.read() is None
    assert caplog.text.count(f"{meeting}: belongs to another user") == 1
    call_off(meeting)  # rank 0 puts its own in place of it
    assert reader.read() is CALLED_OFF


def test_a_link_a_pipe_a_folder_and_a_large_file_are_no_invitation(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    invite(real, HERE)
    (tmp_path / "link.json").symlink_to(real)
    os.mkfifo(tmp_path / "pipe.json", 0o600)
    (tmp_path / "folder.json").mkdir(mode=0o700)
    (tmp_path / "large.json").write_text(real.read_text() + " " * 100_000)
    (tmp_path / "large.json").chmod(0o600)
    (tmp_path / "open.json").write_text(real.read_text())
    for name in ("link", "pipe", "folder", "large", "open"):
        reader = InvitationReader(tmp_path / f"{name}.json")
        assert reader.read() is None and len(reader.refused) == 1
    assert InvitationReader(real).read() == HERE


def test_rank_0_replaces_a_planted_link_and_does_not_write_through_it(tmp_path: Path) -> None:
    (tmp_path / "bashrc").write_text("mine")
    (tmp_path / "meeting.json").symlink_to(tmp_path / "bashrc")
    invite(tmp_path / "meeting.json", HERE)
    assert (tmp_path / "bashrc").read_text() == "mine"
    assert InvitationReader(tmp_path / "meeting.json").read() == HERE


def test_a_planted_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "meeting.json").mkdir()
    with pytest.raises(StoreError, match=r"meeting\.json: cannot be written .* remove what is th"):
        invite(tmp_path / "meeting.json", HERE)
