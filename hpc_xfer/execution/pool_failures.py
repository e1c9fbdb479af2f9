"""Record, show and count the failures of runs on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.errors import StoreError
from hpc_xfer.execution.local_workers import LocalWorker
from hpc_xfer.execution.pack_queue import PackQueue
from hpc_xfer.execution.progress_display import Display
from hpc_xfer.execution.worker_process import exit_message, silent_message
from hpc_xfer.execution.worker_watch import hang_message
from hpc_xfer.store import failures
from hpc_xfer.store.access.logs import last_lines
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.retry_policy import SILENT
from hpc_xfer.study.plan import Run
from hpc_xfer.system.worker_events import WorkerEvent

_LOG_LINES = 10  # of a killed worker's log, for error.json


@dataclass(frozen=True)
class PoolFailures:
    """Failures of the runs of one launch."""

    launched: LaunchedStudy
    packs: PackQueue
    display: Display

    def note(self, run_id: str, failure: str, message: str, log: Path | None) -> None:
        """Show a failure that its worker has recorded; each run fails once."""
        if self.packs.fail(run_id, f"{failure}: {message}"):
            self.display.failed(run_id, failure, message, log)

    def record_death(
        self, worker: LocalWorker, run: Run, codes: Sequence[int], is_silent_again: bool
    ) -> None:
        """Record the failure of a run whose worker has ended.

        Args:
            codes: exit codes of its ranks.
            is_silent_again: it is the second that ended before it reported anything.
        """
        failure, message = cause_of_death(run.id, worker.process.failures, codes)
        if worker.process.hung:
            failure, message = "hung", hang_message(self.launched.site)
        if is_silent_again:
            failure, message = SILENT, silent_message(message)
        self._record(run, failure, message, worker.log)

    def put_back(self, runs: Sequence[Run]) -> None:
        """Queue runs again; one whose workers ended too often without a word of it has failed."""
        for run in self.packs.put_back(runs):
            logs = self.launched.store.study(self.launched.study.name).logs
            message = f"it was queued again and again, and no worker reported its end; see {logs}"
            self._record(run, SILENT, message, None)

    def _record(self, run: Run, failure: str, message: str, log: Path | None) -> None:
        lines = last_lines(log, _LOG_LINES) if log else []
        try:
            failures.write(self.launched.store.run(run.id), failure, message, lines)
        except StoreError as error:  # one folder that cannot be written stops no other run
            self.display.say(str(error))
        self.note(run.id, failure, message, log)


def cause_of_death(
    run_id: str, reported: Sequence[WorkerEvent], codes: Sequence[int]
) -> tuple[str, str]:
    """Return class and message: of the rank that failed first, not of those that lost it."""
    for event in reported:
        if event.failure != "killed" and event.run in (run_id, None):
            return event.failure, event.message
    message = exit_message(next((code for code in codes if code != 0), 0))
    return "killed", f"{message}; launch again to go on from the last checkpoint"
