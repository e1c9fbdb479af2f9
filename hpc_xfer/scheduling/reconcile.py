"""Find out what became of earlier submissions, before anything is submitted.

    queue = release_held(resolve_intents(ledger, slurm, lease, say), ledger, slurm, say)
    record_lost(launched, ledger, queue, statuses)

Needs the store's lock. Adopts or closes intents whose launcher died, releases jobs that Slurm held
because of a node, and records and frees runs whose job ended without a word.
"""

import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.control import cancel_jobs, is_ours, release_jobs
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.slurm.sbatch import is_submitting
from hpc_xfer.states.job_numbers import lines_of, unconfirmed_names, wrong_numbers
from hpc_xfer.states.run_states import RunStatus, is_owner_dead, runs_with_folder
from hpc_xfer.states.second_look import read_queues, with_absent_jobs
from hpc_xfer.store import failures
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.leases import Lease
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.retry_policy import rule_of
from hpc_xfer.store.submission_ledger import Element, Ledger, Submission
from hpc_xfer.study.state_words import CANCELLED
from hpc_xfer.system.terminal import counted

Say = Callable[[str], None]
_LATE_SECONDS = 90  # sbatch, which may outlive its launcher on another host, ends after 60 s
_HELD = "launch failed requeued held"  # reason in squeue


def release_held(queue: Queue, ledger: Ledger, slurm: Slurm, say: Say) -> Queue:
    """Release jobs that Slurm held because a node could not start them; nothing else does."""
    mine = (each for each in ledger.submissions.values() if each.user == current_user())
    lines = (line for submission in mine for line in lines_of(queue, submission))
    stopped = (line for line in lines if line.reason.replace("_", " ") == _HELD)
    held = [line for line in stopped if is_ours(line, ledger.store.tag)]
    if not held:
        return queue
    some = " ".join(line.job for line in held[:5])
    jobs = f"{counted(len(held), 'job')} that a node could not start: {some}"
    try:
        release_jobs(held, ledger.store.tag)
    except SlurmError as error:  # an administrator has to
        say(f"Slurm holds {jobs}; {error}")
        return queue
    say(f"released {jobs}")
    return read_queues(ledger, slurm)


def resolve_intents(ledger: Ledger, slurm: Slurm, lease: Lease, say: Say) -> Queue:
    """Resolve intents whose launcher died; returns the queue afterwards.

    A job in the queue with the name of an intent is adopted. If there is none and no sbatch can
    bring one any more, the intent is closed. A job that appears after that is cancelled.
    """
    queue = read_queues(ledger, slurm)
    while opened := [s for s in ledger.own() if s.is_unresolved]:
        over = {s.name for s in opened if _is_sbatch_over(ledger, s)}
        queue = read_queues(ledger, slurm)
        if any(not queue.named(s.name, s.user) for s in opened):
            queue = with_absent_jobs(queue, opened)
        for submission in opened:
            if lines := queue.named(submission.name, submission.user):
                job = max(lines, key=lambda line: line.live).number
                ledger.record_submitted(submission, job, adopted=True)
                say(f"adopted job {job} ({submission.name}), whose launcher had died")
            elif submission.name in over and submission.cluster not in queue.unanswered:
                ledger.record_closed(submission, "lost")
        if any(s.is_unresolved for s in ledger.own()):
            lease.renew()
            time.sleep(1)  # nothing tells us when the sbatch of a dead launcher ends
    stray = [
        line
        for submission in ledger.own()
        if submission.job is None
        for line in queue.named(submission.name, submission.user)
        if line.live
    ]
    if stray:
        cancel_jobs(stray, ledger.store.tag)
        queue = read_queues(ledger, slurm)
    return queue


def correct_numbers(ledger: Ledger, queue: Queue, say: Say) -> None:
    """Record the number of each job that the queue shows under another one than sbatch told.

    Those that it shows as told are confirmed: their launcher died before it could.
    """
    for study, names in unconfirmed_names(ledger, queue).items():
        ledger.record_confirmed(study, names)
    for submission, job in wrong_numbers(ledger, queue):
        told = submission.job
        ledger.record_submitted(submission, job, adopted=True)
        say(f"{submission.name} is job {job} in the queue, not {told}, which sbatch told")


def _is_sbatch_over(ledger: Ledger, submission: Submission) -> bool:
    """Tell whether the sbatch of an intent has ended; it may outlive its launcher."""
    if submission.host == socket.gethostname() and submission.user == current_user():
        return not is_submitting(ledger.store.study(submission.study).logs)
    if submission.stored is not None:  # the clocks of two hosts may differ
        # abs: a line that names a time to come would be waited for until then
        return abs(server_time(ledger.store.root) - submission.stored) > _LATE_SECONDS
    then = datetime.fromisoformat(submission.time)
    return abs((datetime.now(timezone.utc) - then).total_seconds()) > _LATE_SECONDS


def record_lost(
    launched: LaunchedStudy, ledger: Ledger, queue: Queue, statuses: dict[str, RunStatus]
) -> None:
    """Write error.json for runs whose job was ended from outside, and free them."""
    begun = runs_with_folder(launched.store)
    for run_id, status in statuses.items():
        if status.state == "done" or status.held or run_id not in begun:
            continue
        folder = launched.store.run(run_id)
        if status.state == "lost" and (element := _element_that_began(status, folder)):
            failures.write(
                folder, status.why, status.message, job=element.job,
                node=status.line.nodes if status.line else "", job_name=element.submission.name,
            )  # fmt: skip
        if status.state != "missing" or status.why == CANCELLED:
            _free(folder, ledger.elements_by_run.get(run_id, []), queue)
        _record_node_failures(launched, ledger, run_id)


def _element_that_began(status: RunStatus, folder: RunDir) -> Element | None:
    """The last element of a run, if the run was started in its job."""
    element = status.element
    if element is None or element.job is None:
        return None
    began = element.job in run_claims.jobs(folder, element.submission.name)
    return element if began else None


def _free(folder: RunDir, elements: list[Element], queue: Queue) -> None:
    """Revoke the claim of a job that Slurm shows as ended, which nobody else sees at once."""
    claim = run_claims.holder(folder)
    if claim is None or claim["slurm_job"] is None or claim.get("released"):
        return
    if is_owner_dead(claim, folder, elements, queue):
        why = f"{run_claims.owner_text(claim)} has ended"
        run_claims.revoke(folder, claim["attempt"], why)


def _record_node_failures(launched: LaunchedStudy, ledger: Ledger, run_id: str) -> None:
    """Record in the ledger the failures of a run that count against a node, each once."""
    history = (failures.read(launched.store.run(run_id)) or {}).get("history", [])
    known = {_key(failure) for failure in ledger.node_failures} if history else set()
    for past in history:
        key = node, job, name = _key(past)
        if rule_of(past["class"]).counts_against_node and node and job and key not in known:
            ledger.record_node_failure(launched.study.name, node, past["class"], job, name)
            known.add(key)


def _key(failure: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    return failure["node"], failure["job"], failure.get("job_name")
