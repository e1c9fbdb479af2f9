"""Two hosts whose clocks differ by an hour share a store: the clock of its disk alone decides."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpc_xfer.store.ownership import launch_lock, run_claims
from hpc_xfer.store.ownership.run_claims import LEASE_SECONDS
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from tests.conftest import AnotherTime
from tests.other_hosts import OtherHosts

CLOCK = """
import sys, time; from pathlib import Path
from hpc_xfer.store.ownership.server_clock import server_time
print(time.time(), server_time(Path(sys.argv[1])))
"""
# Says whether it got the run; lives until its input ends.
TAKE = """
import sys; from pathlib import Path
from hpc_xfer.store.ownership import run_claims; from hpc_xfer.store.paths import RunDir
print(run_claims.take(RunDir(Path(sys.argv[1]))) is not None, flush=True); sys.stdin.read()
"""
# Says what shows that the owner of a run lives.
LOOK = """
import sys; from pathlib import Path
from hpc_xfer.store.ownership import run_claims; from hpc_xfer.store.paths import RunDir
print(run_claims.sign_of_life(RunDir(Path(sys.argv[1]))))
"""
LOCK = """
import sys; from pathlib import Path
from hpc_xfer.store.ownership import launch_lock; from hpc_xfer.store.store import Store
say = lambda text: print(text, flush=True)
with launch_lock.held(Store(Path(sys.argv[1])), lambda holder: say(f"waits for {holder['host']}")):
    say("held"); sys.stdin.readline()
"""
Start = Callable[[str, float, str, Path], "subprocess.Popen[str]"]


@pytest.fixture
def start(at_another_time: AnotherTime) -> Iterator[Start]:
    hosts = OtherHosts(at_another_time)
    yield lambda name, hours, code, folder: hosts.start(
        name, hours, [sys.executable, "-c", code, str(folder)]
    )
    hosts.end()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "runs/c0ffee12ab34")


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_time_of_the_disk_is_the_same_on_every_host(
    hours: float, tmp_path: Path, start: Start
) -> None:
    own, shared = map(float, said(start("n1", hours, CLOCK, tmp_path)).split())
    assert own - time.time() == pytest.approx(3600 * hours, abs=60)
    assert shared == pytest.approx(server_time(tmp_path), abs=60)
    assert not list(tmp_path.glob(".clock*"))


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_living_owner_keeps_its_run_whatever_the_clocks(
    hours: float, run: RunDir, start: Start
) -> None:
    owner = start("n1", hours, TAKE, run.path)
    assert said(owner) == "True"
    assert run_claims.sign_of_life(run) == "heartbeat"  # it is on another host
    assert said(start("n2", -hours, LOOK, run.path)) == "heartbeat"
    assert said(start("n3", -hours, TAKE, run.path)) == "False"
    assert said(start("n1", 0, LOOK, run.path)) == "process"
    claim = json.loads((run.claims / "1.json").read_text())
    assert claim["time"] == pytest.approx(server_time(run.path), abs=60)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_dead_owner_keeps_its_run_no_longer_than_its_lease(
    hours: float, run: RunDir, start: Start
) -> None:
    owner = start("n1", hours, TAKE, run.path)
    assert said(owner) == "True"
    owner.kill()
    owner.wait()
    age(run.claims / "1.json", LEASE_SECONDS + 60)
    assert said(start("n2", -hours, LOOK, run.path)) == "None"
    assert run_claims.take(run) is not None


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_second_of_two_launches_waits_whatever_the_clocks(
    hours: float, tmp_path: Path, start: Start
) -> None:
    first = start("login1", hours, LOCK, tmp_path)
    assert said(first) == "held"
    second = start("login2", -hours, LOCK, tmp_path)
    assert said(second) == "waits for login1"
    first.communicate("\n")
    assert said(second) == "held"


def test_a_launch_that_died_on_another_host_holds_the_lock_for_five_minutes(
    tmp_path: Path, start: Start
) -> None:
    store = Store(tmp_path)
    first = start("login1", 1, LOCK, tmp_path)
    assert said(first) == "held"
    first.kill()
    first.wait()
    age(store.lock / "1.json", launch_lock.LEASE_SECONDS + 1)
    reported: list[object] = []
    with launch_lock.held(store, reported.append):
        assert reported == []


def test_a_folder_that_cannot_be_written_is_dated_by_this_host(tmp_path: Path) -> None:
    absent = tmp_path / "absent/below"
    assert server_time(absent) == pytest.approx(time.time(), abs=60)
    assert server_time(Path("/proc/self")) == pytest.approx(time.time(), abs=1)
