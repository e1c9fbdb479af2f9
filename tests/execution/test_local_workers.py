"""Workers of one launch on this machine: which of them may take the next pack."""

import subprocess
import sys
from pathlib import Path

from hpc_xfer.config.site import Site
from hpc_xfer.execution.local_workers import LocalWorker
from hpc_xfer.execution.worker_process import WorkerProcess, start_process
from hpc_xfer.execution.worker_watch import HangGuard
from hpc_xfer.store.store import Store


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
