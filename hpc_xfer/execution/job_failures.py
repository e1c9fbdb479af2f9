"""Record in the store why a run failed in a job, with the last lines of the job's log."""

import signal

from hpc_xfer.config.site import Site
from hpc_xfer.execution.pack_in_store import PackInStore
from hpc_xfer.execution.worker_process import WorkerProcess, exit_message, silent_message
from hpc_xfer.execution.worker_watch import hang_message
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.store import failures
from hpc_xfer.store.access.logs import last_lines
from hpc_xfer.store.retry_policy import SILENT
from hpc_xfer.store.store import Store
from hpc_xfer.system import machine
from hpc_xfer.system.job_environment import ProcessRank, current_job, current_job_name

_LOG_LINES = 30  # of the log, for error.json


class JobFailures:
    """Writes error.json for runs of a pack that the worker itself could not report."""

    def __init__(
        self, pack: PackInStore, store: Store, site: Site, study: str, process_rank: ProcessRank
    ) -> None:
        self.pack, self.site = pack, site
        self.logs = store.study(study).logs
        self.rank, self.size = process_rank.rank, process_rank.size
        self.oom_kills = machine.oom_kills()  # before this job

    def record_death(self, worker: WorkerProcess, run: str) -> None:
        """Write error.json for the run during which a worker died."""
        code = worker.leader.returncode
        failure, message, node = "killed", exit_message(code), None
        if worker.hung:
            failure, message = "hung", hang_message(self.site)
        elif code == -signal.SIGABRT and self.size > 1:
            # NCCL ends a process so where it has lost another rank, which may have told why.
            if self.pack.is_told(run):
                return
            node = ""
        elif code == -signal.SIGKILL and machine.oom_kills() > self.oom_kills:
            failure, message = "out of memory", "the node's memory ran out; the worker was killed"
        is_silent = self.rank == 0 and not worker.has_reported  # other ranks report only failures
        if is_silent and self._was_silent(run):
            for each in self.pack.left():
                self.record(each, SILENT, silent_message(message), node, silent=True)
            return
        self.record(run, failure, message, node, is_silent)

    def _was_silent(self, run: str) -> bool:
        """Tell whether a worker ended in an earlier start of this job before it reported."""
        error = failures.read(self.pack.store.run(run)) or {}
        is_ours = failures.is_of_job(error, current_job(), current_job_name())
        return is_ours and bool(error.get("silent"))

    def record_own(self, worker: WorkerProcess, run: str) -> None:
        """Write at once that the GPU of this rank failed, or that its worker was killed.

        Rank 0 sees a lost rank only, and when it ends, Slurm ends this rank.
        """
        for event in worker.failures:
            if event.failure == "gpu":
                self.record(run, event.failure, event.message)
        code = worker.leader.returncode
        if not worker.failures and code < 0 and code != -signal.SIGABRT:
            self.record_death(worker, run)

    def record_beside(self, worker: WorkerProcess, run: str) -> None:
        """Write what rank 0 has not written: why the worker of another rank ended."""
        known = self.pack.failure_of(run)
        event = next((each for each in worker.failures if each.run == run), None)
        if event is not None and event.failure not in ("killed", known):
            self.record(run, event.failure, event.message)
        elif known is None:
            self.record_death(worker, worker.current or run)

    def record(
        self, run: str, failure: str, message: str, node: str | None = None, silent: bool = False
    ) -> None:
        """Write error.json for a run.

        Args:
            node: where it failed; "" where nobody knows, None for this one.
            silent: the worker ended before it reported anything.
        """
        self.pack.record_failure(run, failure, message, self._log_tail(), node, silent)

    def _log_tail(self) -> list[str]:
        job = current_job()
        if job is None:
            return []
        return last_lines(log_path(self.logs, job, self.rank), _LOG_LINES)
