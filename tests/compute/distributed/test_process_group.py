"""Ranks find each other by a file with an address that other nodes can reach."""

import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from hpc_xfer.compute.distributed import network_interface, process_group
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.failure_classes import classify
from tests import tiny


def default_route() -> str | None:
    """Interface of the preferred default route, as the kernel's table says."""
    rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    routes = [(int(row[6]), row[0]) for row in rows if row[1] == row[7] == "00000000"]
    return min(routes)[1] if routes else None


OUTSIDE = default_route()
needs_a_route = pytest.mark.skipif(OUTSIDE is None, reason="this machine has no default route")


@pytest.fixture(autouse=True)
def on_two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NNODES", "2")
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)


def test_ranks_on_one_node_use_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NNODES", "1")
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    assert network_interface.own_address() == "127.0.0.1"
    network_interface.set_interfaces()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    assert os.environ["NCCL_SOCKET_IFNAME"] == "=lo"


@needs_a_route
def test_between_nodes_the_interface_of_the_default_route_is_used_and_set_for_gloo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "")  # so that it is put back
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    assert not network_interface.own_address().startswith("127.")
    network_interface.set_interfaces()
    assert os.environ["GLOO_SOCKET_IFNAME"] == OUTSIDE


@pytest.mark.parametrize("variable", ["NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"])
@pytest.mark.parametrize("told", ["lo", "=lo", "absent0,lo"])
def test_an_interface_that_the_user_sets_is_used(
    variable: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, told)
    assert network_interface.interface() == "lo"
    assert network_interface.own_address() == "127.0.0.1"


@needs_a_route
@pytest.mark.parametrize("told", ["^lo", "absent0", "=l", ","])
def test_settings_that_match_no_interface_are_ignored(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", told)
    assert network_interface.interface() == OUTSIDE


def test_nccl_settings_match_prefixes_of_interface_names(monkeypatch: pytest.MonkeyPatch) -> None:
    present = [(1, "lo"), (2, "ib0"), (3, "ib1"), (4, "eth0")]
    monkeypatch.setattr(socket, "if_nameindex", lambda: present)
    assert network_interface.matching("ib") == ["ib0", "ib1"]
    assert network_interface.matching("=ib1,eth") == ["ib1"]
    assert network_interface.matching("^docker,lo") == []


def meet(rank: int, meeting: Path) -> None:
    os.environ["SLURM_NNODES"] = "2"  # a child's environment is that of the first child of all
    with process_group.join(rank, 2, rank, meeting, StopSignal()) as world:
        assert world.gather([rank]) == [0, 1]


def test_two_ranks_meet_over_the_network(tmp_path: Path) -> None:
    meeting = tmp_path / "rendezvous-1-0-0.json"
    ranks = [tiny.child(meet, rank, meeting) for rank in range(2)]
    assert tiny.join(ranks) == [0, 0]
    assert not meeting.exists()


def rank_without_answer(number: int, folder: Path) -> None:
    """Rank 1 joins, and is silent until rank 0 has given up."""
    meeting, timeout = folder / "meeting.json", timedelta(seconds=1)
    with process_group.join(number, 2, number, meeting, StopSignal(), timeout) as world:
        if number == 1:
            (folder / "end").read_text()
            return
        with pytest.raises(RuntimeError) as given_up:
            world.max(1.0)
        assert classify(given_up.value) == "killed"
        (folder / "end").write_text("now")


def test_a_rank_that_gets_no_answer_gives_up_and_is_tried_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "end")
    ranks = [tiny.child(rank_without_answer, number, tmp_path) for number in range(2)]
    assert tiny.join(ranks, seconds=120) == [0, 0]
