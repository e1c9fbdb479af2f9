"""A worker under watch, played by a few lines of Python."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.execution.job_ending import STOPPED_EXIT_CODE
from hpc_xfer.execution.supervisor import Supervisor
from hpc_xfer.execution.worker_process import WorkerProcess, start_process, worker_environment
from hpc_xfer.execution.worker_watch import Signals, WorkerWatch
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.worker_events import WorkerEvent
from tests import tiny
from tests.conftest import Command

RUN = tiny.pretraining("scratch")
CHATTY = """
import json, signal, time, sys
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
for _ in range(200):
    print(json.dumps({"event": "held", "run": "another"}), flush=True)
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
# Finds the first run held, and dies in the next.
HELD_THEN_DIES = """
import json, sys
held, run = sys.argv[1:3]
by = {"pid": 5, "host": "n9", "slurm_job": "6"}
print(json.dumps({"event": "held", "run": held, "by": by}), flush=True)
if "--skip=" + run not in sys.argv:
    print(json.dumps({"event": "started", "run": run}), flush=True)
    sys.exit(3)
print(json.dumps({"event": "pack", "pack": "x/0"}), flush=True)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"event": "started"}', flush=True)
time.sleep(600)
"""
# Begins nothing, and says so in a file.
FALLS_OVER = "import sys; open(sys.argv[1], 'a').write('began\\n'); sys.exit(3)"
HANGS = """
import faulthandler, threading
faulthandler.enable()
def deep_in_a_library():
    print('{"event": "started"}', flush=True)
    threading.Event().wait()
deep_in_a_library()
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name in ("JOB_ID", "JOB_NAME", "ARRAY_JOB_ID", "ARRAY_TASK_ID"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    return Store(tmp_path)


def supervisor(
    store: Store, *runs: Run, site: Site | None = None, signals: Signals | None = None
) -> Supervisor:
    batch = JobArray((Pack(runs or (RUN,), 1.0, 1),))
    store.write_manifest("study", batch, {})
    signals = signals or Signals()
    return Supervisor(store, site or Site(), "study", batch.id, ProcessRank(), signals)


def test_a_signal_is_passed_on_however_much_the_worker_reports(store: Store) -> None:
    command = [sys.executable, "-c", CHATTY]
    assert supervisor(store, signals=Signals(term=True)).run(command) == STOPPED_EXIT_CODE


def test_a_worker_that_dies_while_its_child_lives_on_is_recorded(store: Store) -> None:
    assert supervisor(store).run([sys.executable, "-c", LEAVES_A_CHILD]) == REQUEUE_EXIT_CODE
    error = failures.read(store.run(RUN.id))
    assert error is not None
    assert (error["class"], error["message"]) == ("killed", "the worker ended with exit code 3")


def test_a_worker_that_begins_nothing_is_not_started_for_each_run_of_its_pack(
    store: Store, tmp_path: Path
) -> None:
    other = tiny.pretraining("scratch", seed=1)
    began = tmp_path / "began"
    command = [sys.executable, "-c", FALLS_OVER, str(began)]
    assert supervisor(store, RUN, other).run(command) == REQUEUE_EXIT_CODE
    assert began.read_text() == "began\n"


def test_a_failure_that_the_disk_has_no_room_for_is_remembered(store: Store) -> None:
    """No error.json can be written: a file lies where its folder should be."""
    folder = store.run(RUN.id).path
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    assert supervisor(store).run([sys.executable, "-c", "raise SystemExit(3)"]) == REQUEUE_EXIT_CODE
    assert failures.read(store.run(RUN.id)) is None


def test_a_worker_that_hangs_leaves_where_it_hung(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    site = Site(slurm=Slurm(hang_minutes=0.1))
    command = [sys.executable, "-c", HANGS]
    assert supervisor(store, site=site).run(command) == REQUEUE_EXIT_CODE
    error = failures.read(store.run(RUN.id))
    assert error is not None and error["class"] == "hung"
    assert "in deep_in_a_library" in capfd.readouterr().err


@pytest.fixture
def sleeping() -> Iterator[WorkerProcess]:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    worker = WorkerProcess([start_process(command, worker_environment())])
    worker.listen(lambda event: None)
    yield worker
    worker.end(grace=0)


def test_a_job_that_was_suspended_is_not_taken_for_one_that_hangs(
    store: Store, sleeping: WorkerProcess
) -> None:
    """Supervisor and worker stood still together, and the clock went on."""
    now = [1000.0]
    site = Site(slurm=Slurm(hang_minutes=1))
    watch = WorkerWatch(sleeping, store, site, Signals(), clock=lambda: now[0])
    now[0] += 3600
    watch.look()
    assert not sleeping.hung
    for _ in range(31):  # a minute, with a look every two seconds
        now[0] += 2
        watch.look()
    assert sleeping.hung


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_heartbeat_counts_whatever_the_clocks_of_host_and_disk_say(
    hours: int, store: Store, sleeping: WorkerProcess
) -> None:
    """A pre-training reports nothing for hours; its heartbeat is dated by the file server."""
    now = [1000.0]
    site = Site(slurm=Slurm(hang_minutes=1))
    watch = WorkerWatch(sleeping, store, site, Signals(), clock=lambda: now[0])
    sleeping.note(WorkerEvent("started", RUN.id))
    progress = store.run(RUN.id).progress
    progress.parent.mkdir(parents=True)
    progress.touch()
    for _ in range(60):  # two minutes
        now[0] += 2
        os.utime(progress, (now[0] + 3600 * hours,) * 2)
        watch.look()
    assert not sleeping.hung
    for _ in range(32):
        now[0] += 2
        watch.look()
    assert sleeping.hung


def test_the_end_of_a_deaf_worker_is_told_once(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    worker = WorkerProcess([start_process([sys.executable, "-c", DEAF], worker_environment())])
    started = threading.Event()
    worker.listen(lambda event: started.set())
    started.wait()
    watch = WorkerWatch(worker, store, Site(), Signals(term=True), clock=lambda: now[0])
    watch.look()
    for _ in range(50):
        now[0] += 4
        watch.look()
    worker.end(grace=60)
    assert capfd.readouterr().out.splitlines() == [
        "told to stop (SIGTERM): the worker saves a checkpoint",
        "the worker did not stop in time; it is killed",
    ]


def test_a_run_that_is_held_is_not_blamed_for_the_end_of_the_worker(
    store: Store, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:  # fmt: skip
    """A worker starts again for what is left, and the log names the owner once."""
    command("scontrol", "true")
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    other = tiny.pretraining("scratch", seed=1)
    third = tiny.pretraining("scratch", seed=2)
    worker = [sys.executable, "-c", HELD_THEN_DIES, RUN.id, other.id]
    assert supervisor(store, RUN, other, third).run(worker) == REQUEUE_EXIT_CODE
    assert failures.read(store.run(RUN.id)) is None
    error = failures.read(store.run(other.id))
    assert error is not None and error["class"] == "killed"
    line = f"{RUN.id}: held by process 5 on host n9, in job 6; this job leaves it to that process"
    assert capfd.readouterr().out.splitlines().count(line) == 1
    assert run_claims.found_held(store.run(RUN.id)) == {"812"}


def test_a_failure_in_an_old_job_of_the_same_number_is_not_one_of_this_job(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures.write(store.run(RUN.id), "nan", "the loss is NaN", job="812", job_name="pre.old")
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.new")
    assert supervisor(store).pack.hopeless() == set()
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.old")
    assert supervisor(store).pack.hopeless() == {RUN.id}
