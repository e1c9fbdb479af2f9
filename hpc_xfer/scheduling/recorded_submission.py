"""Call sbatch between two lines of the ledger, so that a launcher may die at any moment."""

import socket
from dataclasses import dataclass

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.leases import Lease
from hpc_xfer.store.submission_ledger import JobKind, Ledger, Submission
from hpc_xfer.system import provenance


@dataclass(frozen=True)
class RecordedSubmitter:
    """Submits jobs of a study and records them, under the lock of the store."""

    launched: LaunchedStudy
    ledger: Ledger
    lease: Lease

    def submit(
        self, kind: JobKind, request: Request, batch: str | None = None, lane: int | None = None
    ) -> Submission:
        """Submit one job or array.

        Raises:
            SlurmError: refused, or no clear answer; see `submit_job`.
        """
        submission = Submission(
            self.launched.study.name, request.name, kind, batch, request.array,
            provenance.now(), socket.gethostname(), current_user(), lane,
        )  # fmt: skip
        self.lease.renew()
        self.ledger.record_intent(submission)
        try:
            job = submit_job(request, self.launched.site.slurm)
        except SlurmError as error:
            if not error.unknown:
                self.ledger.record_closed(submission, "rejected")
            raise
        return self.ledger.record_submitted(submission, job)

    def withdraw(self, submission: Submission) -> None:
        """Take a job out of the queue again."""
        self.ledger.record_closed(submission, "withdrawn")
        cancel_jobs([str(submission.job)])
