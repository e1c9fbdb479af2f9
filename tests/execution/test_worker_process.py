"""A worker under watch, played by a few lines of Python."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.execution.supervisor import STOPPED, Signals, Supervisor
from hpc_xfer.execution.worker_process import WorkerProcess
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from hpc_xfer.system.job_environment import ProcessRank
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
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    return guard_of(Store(tmp_path), RUN)


def guard_of(store: Store, *runs: Run, site: Site | None = None) -> Supervisor:
    batch = JobArray((Pack(runs, 1.0, 1),))
    store.write_manifest("study", batch, {})
    return Supervisor(store, site or Site(), "study", batch.id, ProcessRank(), Signals())


def test_what_is_asked_of_us_is_passed_on_however_much_the_worker_tells(guard: Supervisor) -> None:
    guard.signals.term = True
    assert guard.run([sys.executable, "-c", CHATTY]) == STOPPED


def test_the_end_of_a_worker_is_seen_though_a_child_of_it_lives_on(guard: Supervisor) -> None:
    assert guard.run([sys.executable, "-c", LEAVES_A_CHILD]) == REQUEUE_EXIT_CODE
    error = failures.read(guard.store.run(RUN.id))
    assert error is not None
    assert (error["class"], error["message"]) == ("killed", "the worker ended with exit code 3")


def test_what_is_no_event_goes_to_the_log_alone(capfd: pytest.CaptureFixture[str]) -> None:
    code = """print('hello'); print('[1]'); print('{"event": "pack"}')"""
    watch = WorkerProcess([sys.executable, "-c", code])
    while watch.poll_events():
        pass
    assert watch.through and watch.process.returncode == 0
    assert capfd.readouterr().out == 'hello\n[1]\n{"event": "pack"}\n'


def test_a_worker_that_begins_nothing_is_not_started_for_each_run_of_its_pack(
    guard: Supervisor, tmp_path: Path
) -> None:
    other = tiny.pretraining("scratch", seed=1)
    began = tmp_path / "began"
    command = [sys.executable, "-c", FALLS_OVER, str(began)]
    assert guard_of(guard.store, RUN, other).run(command) == REQUEUE_EXIT_CODE
    assert began.read_text() == "began\n"


def test_what_the_disk_has_no_room_for_is_remembered(guard: Supervisor) -> None:
    """No error.json can be written: where its folder should be lies a file."""
    folder = guard.store.run(RUN.id).path
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    assert guard.run([sys.executable, "-c", "raise SystemExit(3)"]) == REQUEUE_EXIT_CODE
    assert failures.read(guard.store.run(RUN.id)) is None


def test_a_worker_that_hangs_leaves_where_it_hung(
    guard: Supervisor, capfd: pytest.CaptureFixture[str]
) -> None:
    site = Site(slurm=Slurm(hang_minutes=0.1))
    assert (
        guard_of(guard.store, RUN, site=site).run([sys.executable, "-c", HANGS])
        == REQUEUE_EXIT_CODE
    )
    error = failures.read(guard.store.run(RUN.id))
    assert error is not None and error["class"] == "hung"
    assert "in deep_in_a_library" in capfd.readouterr().err


def test_a_job_that_was_suspended_is_not_taken_for_one_that_hangs(guard: Supervisor) -> None:
    """Guard and worker stood still together, and the clock went on."""
    watch = WorkerProcess([sys.executable, "-c", "import time; time.sleep(60)"])
    watch.last_look = watch.last_event = time.time() - 3600
    guard._look(watch)
    assert not watch.hung
    watch.last_event -= 3600
    guard._look(watch)
    assert watch.hung
    while watch.poll_events():
        watch.process.kill()


def test_a_worker_that_cannot_say_where_it_hangs_is_killed_all_the_same() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGABRT, signal.SIG_IGN); print('{}')"
    watch = WorkerProcess([sys.executable, "-uc", f"{deaf}; time.sleep(60)"])
    while watch.poll_events():
        if not watch.silent:
            watch.abort()
    assert watch.process.returncode == -9


def test_a_log_on_a_full_disk_changes_no_exit_code() -> None:
    code = "from hpc_xfer.execution.worker_process import say; say('lost'); raise SystemExit(85)"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full)
    assert done.returncode == 85
