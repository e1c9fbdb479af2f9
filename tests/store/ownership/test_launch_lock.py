"""The launch lock: one launch at a time in a store."""

import subprocess
import sys
from pathlib import Path

from hpc_xfer.store.ownership import launch_lock
from hpc_xfer.store.store import Store
from tests.waiting import wait_for

HOLD = """
import sys; from pathlib import Path
from hpc_xfer.store.ownership import launch_lock; from hpc_xfer.store.store import Store
with launch_lock.held(Store(Path(sys.argv[1])), lambda holder: print(holder, flush=True)):
    print('held', flush=True); sys.stdin.readline()
"""


def holder(store: Store) -> "subprocess.Popen[str]":
    call = [sys.executable, "-c", HOLD, str(store.root)]
    pipe = subprocess.PIPE
    return subprocess.Popen(call, stdin=pipe, stdout=pipe, text=True)


def test_a_second_launch_waits_and_learns_which_process_has_the_lock(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = holder(store)
    assert first.stdout and first.stdin
    assert first.stdout.readline() == "held\n"
    second = holder(store)
    assert second.stdout and second.stdin
    assert f"'pid': {first.pid}" in second.stdout.readline()
    first.communicate("\n")
    assert second.stdout.readline() == "held\n"
    second.communicate("\n")


def test_the_lock_is_free_at_once_when_its_owner_is_killed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = holder(store)
    assert first.stdout
    assert first.stdout.readline() == "held\n"
    first.kill()
    first.wait()
    reported: list[object] = []
    with launch_lock.held(store, reported.append):
        assert reported == []
    wait_for(lambda: not list(store.lock.glob(".*.tmp")))
    first.communicate()
