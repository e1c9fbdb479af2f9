"""Submit the relay job: it runs last, retries, and submits what is left."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from hpc_xfer.errors import SlurmError, SubmitLimit
from hpc_xfer.scheduling.job_requests import relay_request
from hpc_xfer.scheduling.recorded_submission import RecordedSubmitter
from hpc_xfer.scheduling.submit_report import SubmitReport
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.slurm.submitted import known_job
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store.code_snapshot import current_digest
from hpc_xfer.store.submission_ledger import Submission

_FULL_MINUTES = 10  # until the relay tries again, where the queue is full of other jobs


@dataclass(frozen=True)
class RelayJob:
    """The relay job of a study: the one that waits in the queue, or a new one."""

    submitter: RecordedSubmitter
    queue: Queue
    statuses: Mapping[str, RunStatus]
    replaces_old_code: bool = False  # for a person; a relay leaves one of newer code alone

    @cached_property
    def pending(self) -> Submission | None:
        """The relay that waits in the queue; one that runs may have read the queue already."""
        launched = self.submitter.launched
        for submission in self.submitter.ledger.submissions_of(launched.study.name):
            line = self.queue.find(submission.job, submission.name, submission.user)
            if submission.kind == "relay" and line and self._is_waiting(line):
                return submission
        return None

    def _is_waiting(self, line: QueueLine) -> bool:
        """Tell whether a relay waits, by squeue and by scontrol.

        An old answer of squeue may show as waiting what runs by now (this process may be in it) or
        has ended, and the study would stop there.
        """
        if line.state != "PENDING" or line.user != current_user():
            return line.state == "PENDING"  # scontrol is read for our own jobs
        with contextlib.suppress(SlurmError):  # then squeue is all that is known
            known = known_job(line.job, line.cluster)
            if known is not None:
                return any(each.name == line.name and each.state == "PENDING" for each in known)
        return True

    def ensure(self, report: SubmitReport) -> str | None:
        """The job id of a relay that runs after all jobs of the report.

        If the queue is full, the job that was submitted last gives its place to the relay.
        """
        jobs_may_submit = self.submitter.launched.site.slurm.jobs_may_submit
        waiting = self.pending
        if waiting and self.replaces_old_code and waiting.code not in (None, current_digest()):
            return self._replaced(waiting, report)
        if waiting and (jobs_may_submit or not report.submitted):
            return waiting.job
        return self._submitted(report)

    def _replaced(self, waiting: Submission, report: SubmitReport) -> str | None:
        """The job id of a relay that submits with our code, instead of one with older code."""
        try:
            job = self._submitted(report)
        except SlurmError as error:
            report.notes.append(f"the relay, job {waiting.job}, keeps its older code: {error}")
            return waiting.job
        self.submitter.withdraw(waiting)
        return job

    def _submitted(self, report: SubmitReport) -> str | None:
        """Submit a relay; if the queue is full, the job that was submitted last makes room."""
        while True:
            try:
                return self._submit(report)
            except SubmitLimit as error:
                if not report.submitted:
                    raise SlurmError(
                        "there is no room for the relay job, and without it the study does not "
                        f"go on: {error}; launch again when there is room"
                    ) from error
                report.queue_full_message = str(error)
                submission, runs = report.submitted.pop()
                self.submitter.withdraw(submission)
                report.deferred += runs

    def _submit(self, report: SubmitReport) -> str | None:
        launched, ledger = self.submitter.launched, self.submitter.ledger
        number = ledger.submission_count(launched.study.name, None, "relay") + 1
        jobs = self._jobs(report)
        early = report.deferred > 0 and launched.site.slurm.jobs_may_submit
        request = replace(
            relay_request(launched, number),
            after_any=() if early else jobs,
            after_one=jobs if early else (),
            begin_minutes=0 if jobs else _FULL_MINUTES,
        )
        return self.submitter.submit("relay", request).job

    def _jobs(self, report: SubmitReport) -> tuple[str, ...]:
        """Jobs that work for this study, whoever submitted them; arrays as a whole."""
        statuses = self.statuses.values()
        held = [status for status in statuses if status.held and status.is_in(self.queue)]
        jobs = [status.element.job for status in held if status.element]
        jobs += [self.submitter.job_of(submission.name) for submission, _ in report.submitted]
        return tuple(dict.fromkeys(job.split("_")[0] for job in jobs if job))
