"""Call sbatch between two lines of the ledger, so that a launcher may die at any moment.

submission = submitter.submit("finetune", request, array.id)
submitter.job_of(submission.name)      # its number, held against its name in the queue
"""

import socket
import time
from dataclasses import dataclass, field

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.parsing import QueueLine
from hpc_xfer.slurm.queue import current_user, default_cluster
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.slurm.submitted import jobs_named
from hpc_xfer.store.code_snapshot import current_digest
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.ownership.leases import Lease
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.submission_ledger import JobKind, Ledger, Submission
from hpc_xfer.system import provenance
from hpc_xfer.system.written_path import absolute

_PAUSES = (0.0, 1.0, 3.0)  # seconds before each look for a job of which sbatch told no number


@dataclass
class RecordedSubmitter:
    """Submits jobs of a study and records them, under the lock of the store."""

    launched: LaunchedStudy
    ledger: Ledger
    lease: Lease
    _unconfirmed: set[str] = field(default_factory=set)  # job names

    @property
    def cluster(self) -> str | None:
        return cluster_of(self.launched.site.slurm)

    def submit(
        self, kind: JobKind, request: Request, batch: str | None = None, lane: int | None = None
    ) -> Submission:
        """Submit one job or array.

        Raises:
            SlurmError: refused, or no clear answer; see `submit_job`.
        """
        store = self.launched.store
        submission = Submission(
            self.launched.study.name, request.name, kind, batch, request.array,
            provenance.now(), socket.gethostname(), current_user(), lane,
            self.cluster or default_cluster(),
            str(absolute(store.root)), current_digest(), server_time(store.root),
        )  # fmt: skip
        self.lease.renew()
        self.ledger.record_intent(submission)
        try:
            job = submit_job(request, self.launched.site.slurm)
        except SlurmError as error:
            if (found := self._found_all_the_same(submission, error)) is not None:
                return self.ledger.record_submitted(submission, found, adopted=True)
            if not error.unknown:
                self.ledger.record_closed(submission, "rejected")
            raise
        self._unconfirmed.add(submission.name)
        return self.ledger.record_submitted(submission, job)

    def job_of(self, name: str) -> str:
        """The number of a submitted job: that of the queue, should sbatch have told another."""
        if name in self._unconfirmed:
            self.confirm()
        return str(self.ledger.submissions[name].job)

    def confirm(self) -> None:
        """Hold the numbers that sbatch told against the names in the queue, in one call.

        A wrapper of the site may print another number, and dependencies hang on it. A job that is
        not found may have ended already: its number stays.

        Raises:
            SlurmError: Slurm does not answer.
        """
        if not self._unconfirmed:
            return
        right = set()
        for name, job in jobs_named(sorted(self._unconfirmed), self.cluster).items():
            if job == self.ledger.submissions[name].job:
                right.add(name)
            else:
                self.ledger.record_submitted(self.ledger.submissions[name], job, adopted=True)
        if right:
            self.ledger.record_confirmed(self.launched.study.name, right)
        self._unconfirmed.clear()

    def withdraw(self, submission: Submission) -> None:
        """Take a job out of the queue again."""
        job = self.job_of(submission.name)
        self.ledger.record_closed(self.ledger.submissions[submission.name], "withdrawn")
        line = QueueLine(
            job, job, submission.name, "PENDING", submission.user, cluster=self.cluster
        )
        cancel_jobs([line], self.launched.store.tag)

    def _found_all_the_same(self, submission: Submission, error: SlurmError) -> str | None:
        """The number of a job that Slurm has, whatever sbatch said; None where it has none.

        Raises:
            SlurmError: Slurm does not answer, so it may have the job.
        """
        for pause in _PAUSES if error.unknown else _PAUSES[:1]:
            time.sleep(pause)  # nothing tells us whether a controller took the job
            try:
                found = jobs_named([submission.name], self.cluster, not error.unknown)
            except SlurmError as second:
                raise SlurmError(f"{error}; {second}", unknown=True) from error
            if found:
                return found[submission.name]
        return None
