"""Replace the jobs that would write to where the store was before it was moved."""

import time
from pathlib import Path

from hpc_xfer.config.site import Slurm
from hpc_xfer.scheduling.reconcile import Say
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.slurm.submitted import known_jobs
from hpc_xfer.states.moved_store import given_tag, left_to_you, live_jobs, roots_of
from hpc_xfer.states.second_look import read_queues, with_absent_jobs
from hpc_xfer.store.ownership.leases import Lease
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission

_END_SECONDS = 120  # Slurm's KillWait, 30 s by default, and the time that a busy node takes


def replace_moved(
    moved: list[Submission], store: Store, ledger: Ledger, slurm: Slurm, queue: Queue,
    lease: Lease, say: Say,
) -> Queue:  # fmt: skip
    """Cancel the jobs that would write to where the store was; their runs are free afterwards.

    Raises:
        SlurmError: Slurm does not answer.
    """
    queue = with_absent_jobs(queue, moved)
    ours = proven(moved, queue)
    if lines := live_jobs(ours, queue):
        say(
            f"the store was at {roots_of(moved)} and is at {store.root} now: {len(lines):,} jobs "
            "and elements of arrays that write to the old place are cancelled, and submitted again"
        )
        for submission in ours:
            tag = given_tag(submission, store) or store.tag
            cancel_jobs(live_jobs([submission], queue), tag)
    for told in left_to_you(live_jobs([each for each in moved if each not in ours], queue)):
        say(told)
    end = time.monotonic() + _END_SECONDS
    while live_jobs(ours, queue) and time.monotonic() < end:
        lease.renew()
        time.sleep(1)  # Slurm does not tell us when a job has ended
        queue = read_queues(ledger, slurm)
    for submission in moved:
        ledger.record_closed(ledger.submissions[submission.name], "moved")
    return queue


def proven(moved: list[Submission], queue: Queue) -> list[Submission]:
    """Return those whose jobs write to where the store was, by Slurm's word.

    A line of the ledger, which others may have written, could name a job of another store.
    """
    live = [(each, live_jobs([each], queue)) for each in moved]
    clusters = {line.cluster for _, lines in live for line in lines}
    known = {(line.number, line.name): line for cluster in clusters for line in known_jobs(cluster)}
    return [
        each
        for each, lines in live
        if lines and _writes_to(known.get((lines[0].number, lines[0].name)), each)
    ]


def _writes_to(line: QueueLine | None, submission: Submission) -> bool:
    logs = Store(Path(str(submission.root))).study(submission.study).logs
    return line is not None and Path(line.output).parent == logs
