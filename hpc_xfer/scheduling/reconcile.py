"""Find out what became of earlier submissions, before anything is submitted.

    queue = release_held(resolve_intents(ledger, lease, say), ledger, say)
    record_lost(launched, ledger, queue, statuses)

Needs the store's lock. Adopts or closes intents whose launcher died, releases jobs that Slurm held
because of a node, and records and frees runs whose job ended without a word.
"""

import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone

from hpc_xfer.errors import SlurmError
from hpc_xfer.scheduling.run_states import RunStatus
from hpc_xfer.slurm.control import cancel_jobs, release_jobs
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import current_queue, current_user
from hpc_xfer.slurm.sbatch import is_submitting
from hpc_xfer.store import failures, run_claims
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.leases import Lease
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.retry_policy import rule_of
from hpc_xfer.store.submission_ledger import Ledger, Submission

Say = Callable[[str], None]
_LATE_SECONDS = 90  # sbatch, which may outlive its launcher on another host, ends after 60 s
_HELD = "launch failed requeued held"  # reason in squeue


def release_held(queue: Queue, ledger: Ledger, say: Say) -> Queue:
    """Release jobs that Slurm held because a node could not start them; nothing else does."""
    held = [
        line.job
        for line in queue.lines.values()
        if line.reason.replace("_", " ") == _HELD
        and line.name in ledger.submissions
        and line.user == current_user()
    ]
    if not held:
        return queue
    jobs = f"{len(held)} jobs that a node could not start: {' '.join(held[:5])}"
    try:
        release_jobs(held)
    except SlurmError as error:  # an administrator has to
        say(f"Slurm holds {jobs}; {error}")
        return queue
    say(f"released {jobs}")
    return current_queue()


def resolve_intents(ledger: Ledger, lease: Lease, say: Say) -> Queue:
    """Resolve intents whose launcher died; returns the queue afterwards.

    A job in the queue with the name of an intent is adopted. If there is none and no sbatch can
    bring one any more, the intent is closed. A job that appears after that is cancelled.
    """
    queue = current_queue()
    while opened := [s for s in ledger.submissions.values() if s.is_unresolved]:
        over = {s.name for s in opened if _is_sbatch_over(ledger, s)}
        queue = current_queue()
        for submission in opened:
            if lines := queue.named(submission.name, submission.user):
                job = lines[0].job.split("_")[0]
                ledger.record_submitted(submission, job, adopted=True)
                say(f"adopted job {job} ({submission.name}), whose launcher had died")
            elif submission.name in over:
                ledger.record_closed(submission, "lost")
        if any(s.is_unresolved for s in ledger.submissions.values()):
            lease.renew()
            time.sleep(1)  # nothing tells us when the sbatch of a dead launcher ends
    stray = [
        line.job
        for line in queue.lines.values()
        if line.live
        and (known := ledger.submissions.get(line.name))
        and known.job is None
        and known.user == line.user
    ]
    if stray:
        cancel_jobs(stray)
        queue = current_queue()
    return queue


def _is_sbatch_over(ledger: Ledger, submission: Submission) -> bool:
    """Tell whether the sbatch of an intent has ended; it may outlive its launcher."""
    if submission.host == socket.gethostname() and submission.user == current_user():
        return not is_submitting(ledger.store.study(submission.study).logs)
    then = datetime.fromisoformat(submission.time)
    return (datetime.now(timezone.utc) - then).total_seconds() > _LATE_SECONDS


def record_lost(
    launched: LaunchedStudy, ledger: Ledger, queue: Queue, statuses: dict[str, RunStatus]
) -> None:
    """Write error.json for runs whose job was ended from outside, and free them."""
    for run_id, status in statuses.items():
        if status.state == "done" or status.held:
            continue
        folder = launched.store.run(run_id)
        if status.state == "lost" and (job := _job_that_began(status, folder)):
            node = status.line.nodes if status.line else ""
            failures.write(folder, status.why, status.message, job=job, node=node)
        if status.state != "missing" or status.why == "cancelled":
            _free(folder, queue)
        _record_node_failures(launched, ledger, run_id)


def _job_that_began(status: RunStatus, folder: RunDir) -> str | None:
    job = status.element.job if status.element else None
    return job if job in run_claims.jobs(folder) else None


def _free(folder: RunDir, queue: Queue) -> None:
    """Revoke the claim of a job that has ended; a job submitted by hand may still run."""
    claim = run_claims.holder(folder)
    if claim is None or claim["slurm_job"] is None or claim.get("released"):
        return
    line = queue.lines.get(claim["slurm_job"])
    if line is None or not line.live:
        why = f"job {claim['slurm_job']} is not in the queue any more"
        run_claims.revoke(folder, claim["attempt"], why)


def _record_node_failures(launched: LaunchedStudy, ledger: Ledger, run_id: str) -> None:
    """Record in the ledger the failures of a run that count against a node, each once."""
    known = {(failure["node"], failure["job"]) for failure in ledger.node_failures}
    for past in (failures.read(launched.store.run(run_id)) or {}).get("history", []):
        key = (past["node"], past["job"])
        if rule_of(past["class"]).counts_against_node and all(key) and key not in known:
            ledger.record_node_failure(
                launched.study.name, past["node"], past["class"], past["job"]
            )
            known.add(key)
