"""Before anything is submitted: what became of what was handed in earlier.

    queue = let_go(settle(ledger, lease, say), ledger, say)
    bury(launched, ledger, queue, now)

Under the store's lock. Intents whose launcher died are adopted or closed, jobs that Slurm held for
a node's sake are released, and runs whose job ended without a word are told of and freed.
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
from hpc_xfer.store.retry_policy import counts_against_node
from hpc_xfer.store.submission_ledger import Ledger, Submission

Say = Callable[[str], None]
_LATE_SECONDS = 90  # an sbatch on another host, whose launcher died, is given 60 s by `slurm`
_HELD = "launch failed requeued held"  # what squeue gives as the reason


def release_held(queue: Queue, ledger: Ledger, say: Say) -> Queue:
    """Release what Slurm held since a node could not begin it: nothing else ever would."""
    held = [
        line.job
        for line in queue.lines.values()
        if line.reason.replace("_", " ") == _HELD
        and line.name in ledger.submissions
        and line.user == current_user()
    ]
    if not held:
        return queue
    told = f"{len(held)} jobs that a node could not begin: {' '.join(held[:5])}"
    try:
        release_jobs(held)
    except SlurmError as error:  # somebody with more rights has to
        say(f"Slurm holds {told}; {error}")
        return queue
    say(f"released {told}")
    return current_queue()


def resolve_intents(ledger: Ledger, lease: Lease, say: Say) -> Queue:
    """Find out what became of intents whose launcher died; returns the queue as it then is.

    A job of that name in the queue is ours: adopted. None, and the intent old enough: it never got
    through. A job whose intent was closed before it showed up is cancelled.
    """
    queue = current_queue()
    while opened := [s for s in ledger.submissions.values() if s.is_unresolved]:
        through = {s.name for s in opened if _is_through(ledger, s)}
        queue = current_queue()
        for submission in opened:
            if lines := queue.named(submission.name, submission.user):
                job = lines[0].job.split("_")[0]
                ledger.record_submitted(submission, job, adopted=True)
                say(f"adopted job {job} ({submission.name}), whose launcher had died")
            elif submission.name in through:
                ledger.record_closed(submission, "lost")
        if any(s.is_unresolved for s in ledger.submissions.values()):
            lease.renew()
            time.sleep(1)  # nothing tells us when the sbatch of a dead process is through
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


def _is_through(ledger: Ledger, submission: Submission) -> bool:
    """Whether the sbatch of an intent cannot bring a job any more; it may outlive its launcher."""
    if submission.host == socket.gethostname() and submission.user == current_user():
        return not is_submitting(ledger.store.study(submission.study).logs)
    then = datetime.fromisoformat(submission.time)
    return (datetime.now(timezone.utc) - then).total_seconds() > _LATE_SECONDS


def record_lost(
    launched: LaunchedStudy, ledger: Ledger, queue: Queue, now: dict[str, RunStatus]
) -> None:
    """Say in error.json what a job that was ended from outside could not, and free its runs."""
    for run_id, each in now.items():
        if each.state == "done" or each.held:
            continue
        folder = launched.store.run(run_id)
        if each.state == "lost" and each.element and each.element.job in run_claims.jobs(folder):
            node = each.line.nodes if each.line else None
            failures.write(folder, each.why, each.message, job=each.element.job, node=node or "")
        if each.state != "missing" or each.why == "cancelled":
            _free(folder, queue)
        _count_hits(launched, ledger, run_id)


def _free(folder: RunDir, queue: Queue) -> None:
    """Take a run from a job that is over; one that was submitted by hand may not be."""
    claim = run_claims.holder(folder)
    if claim is None or claim["slurm_job"] is None or claim.get("released"):
        return
    line = queue.lines.get(claim["slurm_job"])
    if line is None or not line.live:
        run_claims.revoke(folder, f"job {claim['slurm_job']} is not in the queue any more")


def _count_hits(launched: LaunchedStudy, ledger: Ledger, run_id: str) -> None:
    known = {(hit["node"], hit["job"]) for hit in ledger.node_failures}
    for past in (failures.read(launched.store.run(run_id)) or {}).get("history", []):
        key = (past["node"], past["job"])
        if counts_against_node(past["class"]) and all(key) and key not in known:
            ledger.record_node_failure(
                launched.study.name, past["node"], past["class"], past["job"]
            )
            known.add(key)
