"""Replace the jobs that would write to where the store was before it was moved."""

import time

from hpc_xfer.config.site import Slurm
from hpc_xfer.scheduling.reconcile import Say, for_each_cluster
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.moved_store import live_jobs
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
