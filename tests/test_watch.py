"""A worker under watch, played by a few lines of Python."""

import sys
from pathlib import Path

import pytest

from hpc_xfer import failures
from hpc_xfer.batches import Batch
from hpc_xfer.job import STOPPED, Guard, _Signals
from hpc_xfer.place import Place
from hpc_xfer.plan import Pack
from hpc_xfer.site import Site
from hpc_xfer.slurm import AGAIN
from hpc_xfer.store import Store
from hpc_xfer.watch import Watch
from tests import tiny

RUN = tiny.pretraining("scratch")
CHATTY = """
import json, signal, time, sys
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
for _ in range(200):
    print(json.dumps({"event": "progress"}), flush=True)
    if stopped: sys.exit()
    time.sleep(0.05)
"""
# Ends at once, and leaves a child that holds its standard output open.
LEAVES_A_CHILD = f"""
import json, os, subprocess
print(json.dumps({{"event": "started", "run": "{RUN.id}"}}), flush=True)
subprocess.Popen(["sleep", "20"])
os._exit(3)
"""


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guard:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    store = Store(tmp_path)
    batch = Batch((Pack((RUN,), 1.0, 1),))
    store.write_batch("study", batch, {})
    return Guard(store, Site(), "study", batch.id, Place(), _Signals())


def test_what_is_asked_of_us_is_passed_on_however_much_the_worker_tells(guard: Guard) -> None:
    guard.signals.term = True
    assert guard.run([sys.executable, "-c", CHATTY]) == STOPPED


def test_the_end_of_a_worker_is_seen_though_a_child_of_it_lives_on(guard: Guard) -> None:
    assert guard.run([sys.executable, "-c", LEAVES_A_CHILD]) == AGAIN
    error = failures.read(guard.store.run(RUN.id))
    assert error is not None
    assert (error["class"], error["message"]) == ("killed", "the worker ended with exit code 3")


def test_what_is_no_event_goes_to_the_log_alone(capfd: pytest.CaptureFixture[str]) -> None:
    code = """print('hello'); print('[1]'); print('{"event": "pack"}')"""
    watch = Watch([sys.executable, "-c", code])
    while watch.hears():
        pass
    assert watch.through and watch.process.returncode == 0
    assert capfd.readouterr().out == 'hello\n[1]\n{"event": "pack"}\n'
