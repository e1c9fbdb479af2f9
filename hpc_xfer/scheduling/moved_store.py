"""Find submissions whose jobs write to another folder than this store: it was moved, or copied.

    found = misplaced(store, ledger)
    found.moved, found.copied, found.unclear        # submissions

A job is told the path of the store when it is submitted. If the store has been moved since, the job
cannot work; if this store is a copy, its job works for the original and is not ours.
"""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpc_xfer.config.site import Slurm
from hpc_xfer.scheduling.reconcile import Say, for_each_cluster
from hpc_xfer.scheduling.second_look import read_queues, with_absent_jobs
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.store.leases import Lease
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, read_ledger

_END_SECONDS = 120  # Slurm's KillWait, 30 s by default, and the time that a busy node takes


@dataclass
class Misplaced:
    """Submissions whose jobs were told another path than that of this store."""

    moved: list[Submission] = field(default_factory=list)  # the store is no longer there
    copied: list[Submission] = field(default_factory=list)  # the original store is still there
    unclear: list[Submission] = field(default_factory=list)  # told on a host with other mounts

    def sentences(self) -> Iterator[str]:
        """Lines on what could not be decided."""
        for root, host in sorted({(str(each.root), each.host) for each in self.unclear}):
            yield (
                f"jobs were submitted on {host} with the store at {root}, which this host does not "
                f"have; if the store was moved, launch again on {host}"
            )


def misplaced(store: Store, ledger: Ledger) -> Misplaced:
    """Sort out the submissions that hold a job and were told another path."""
    found = Misplaced()
    by_root: dict[tuple[str, str], list[Submission]] = {}
    for submission in ledger.submissions.values():
        if submission.root is not None and submission.closed is None:
            by_root.setdefault((submission.root, submission.host), []).append(submission)
    for (root, host), submissions in by_root.items():
        if _is_same(Path(root), store.root):
            continue
        original = _original(Path(root), submissions)
        for submission in submissions:
            if submission.name in original:
                found.copied.append(submission)
            elif host == socket.gethostname():
                found.moved.append(submission)
            else:
                found.unclear.append(submission)
    return found


def _is_same(root: Path, here: Path) -> bool:
    if str(root) == str(here):
        return True
    try:
        return os.path.samefile(root, here)
    except OSError:
        return False


def _original(root: Path, submissions: list[Submission]) -> set[str]:
    """Job names in the ledger of the store at `root`; empty where there is none."""
    studies = {submission.study for submission in submissions}
    return set(read_ledger(Store(root), *studies).submissions)


def live_jobs(submissions: list[Submission], queue: Queue) -> list[QueueLine]:
    """The jobs and elements of these submissions that are in the queue."""
    lines = (line for each in submissions for line in queue.named(each.name, each.user))
    return [line for line in lines if line.live]


def replace_moved(
    moved: list[Submission], store: Store, ledger: Ledger, slurm: Slurm, queue: Queue,
    lease: Lease, say: Say,
) -> Queue:  # fmt: skip
    """Cancel the jobs that would write to where the store was; their runs are free afterwards.

    Raises:
        SlurmError: Slurm does not answer.
    """
    queue = with_absent_jobs(queue, moved)
    if lines := live_jobs(moved, queue):
        roots = ", ".join(sorted({str(each.root) for each in moved}))
        say(
            f"the store was at {roots} and is at {store.root} now: {len(lines):,} jobs and elements"
            " of arrays that write to the old place are cancelled, and submitted again"
        )
        for_each_cluster(lines, cancel_jobs)
    end = time.monotonic() + _END_SECONDS
    while live_jobs(moved, queue) and time.monotonic() < end:
        lease.renew()
        time.sleep(1)  # Slurm does not tell us when a job has ended
        queue = read_queues(ledger, slurm)
    for submission in moved:
        ledger.record_closed(ledger.submissions[submission.name], "moved")
    return queue
