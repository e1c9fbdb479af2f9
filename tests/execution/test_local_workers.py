"""Workers of one launch on this machine: which of them may take the next pack."""

import subprocess
import sys
from pathlib import Path

from hpc_xfer.config.site import Site
from hpc_xfer.execution.local_gpus import LocalGpus
from hpc_xfer.execution.local_workers import LocalWorker
from hpc_xfer.execution.worker_process import WorkerProcess, start_process
from hpc_xfer.execution.worker_watch import HangGuard
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Pack
from hpc_xfer.system.worker_events import WorkerEvent
from tests import tiny


def test_a_worker_that_was_told_to_end_gets_no_more_packs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    process = WorkerProcess([start_process(command, {}, stdin=subprocess.PIPE)])
    process.listen(lambda event: None)
    guard = HangGuard(process, Store(tmp_path), Site())
    worker = LocalWorker(process, tmp_path / "log", "1-1", [], kept=True, guard=guard)
    assert worker.is_idle
    process.close()
    assert not worker.is_idle
    process.end(grace=60)


def test_what_a_worker_reports_is_a_sign_of_life(tmp_path: Path) -> None:
    """Runs that fail at once, one after another, write no heartbeat."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    process = WorkerProcess([start_process(command, {}, stdin=subprocess.PIPE)])
    process.listen(lambda event: None)
    now = [0.0]
    guard = HangGuard(process, Store(tmp_path), Site(), clock=lambda: now[0])
    pack = Pack((tiny.pretraining("scratch"),), 1.0, 1)
    worker = LocalWorker(process, tmp_path / "log", "1-1", [], kept=True, guard=guard, pack=pack)
    for now[0] in range(0, 3600, 4):
        worker.note(WorkerEvent("failed", "a", failure="data", message="it is broken"))
        assert not worker.look_for_hang()
    assert not process.hung
    process.end(grace=60)


def test_one_fault_of_a_shared_gpu_counts_once() -> None:
    """It ends all processes on the GPU; a second one, after a new start, means it is broken."""
    first, beside = spent_worker(), spent_worker()
    gpus = LocalGpus(["0"])
    assert gpus.drop_if_broken(["0"], first) is None
    assert gpus.drop_if_broken(["0"], beside) is None
    assert gpus.drop_if_broken(["0"], spent_worker()) == "0"
    assert gpus.all_are_lost


def spent_worker() -> WorkerProcess:
    event = '{"event": "failed", "run": "a", "class": "gpu", "message": "it failed"}'
    command = [sys.executable, "-c", f"print({event!r}); raise SystemExit(88)"]
    worker = WorkerProcess([start_process(command, {})])

    def note(event: WorkerEvent | None) -> None:
        if event is not None:
            worker.note(event)

    worker.listen(note)
    worker.end(grace=60)
    return worker
