"""Record in the store why a run failed in a job, with the last lines of the job's log."""

import signal

from hpc_xfer.config.site import Site
from hpc_xfer.execution.pack_in_store import PackInStore
from hpc_xfer.execution.worker_process import WorkerProcess, exit_message
from hpc_xfer.execution.worker_watch import hang_message
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.store.store import Store
from hpc_xfer.system import machine
from hpc_xfer.system.job_environment import ProcessRank, current_job

_LOG_LINES = 30  # of the log, for error.json


class JobFailures:
    """Writes error.json for runs of a pack that the worker itself could not report."""

    def __init__(
        self, pack: PackInStore, store: Store, site: Site, study: str, process_rank: ProcessRank
    ) -> None:
        self.pack, self.site = pack, site
        self.logs, self.rank = store.study(study).logs, process_rank.rank
        self.oom_kills = machine.oom_kills()  # before this job

    def record_death(self, worker: WorkerProcess, run: str) -> None:
        """Write error.json for the run during which a worker died."""
        code = worker.leader.returncode
        failure, message = "killed", exit_message(code)
        if worker.hung:
            failure, message = "hung", hang_message(self.site)
        elif code == -signal.SIGKILL and machine.oom_kills() > self.oom_kills:
            failure, message = "out of memory", "the node's memory ran out; the worker was killed"
        self.record(run, failure, message)

    def record(self, run: str, failure: str, message: str) -> None:
        """Write error.json for a run."""
        self.pack.record_failure(run, failure, message, self._log_tail())

    def _log_tail(self) -> list[str]:
        job = current_job()
        if job is None:
            return []
        path = log_path(self.logs, job, self.rank)
        try:
            return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        except OSError:
            return []
