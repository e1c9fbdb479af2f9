"""Say what is particular about the jobs in the queue, for launch, status and the relay's log."""

from collections.abc import Iterator

from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.other_code import other_code
from hpc_xfer.states.removed_runs import removed_jobs
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger
from hpc_xfer.study.plan import Plan


def queue_notes(
    plan: Plan, store: Store, study: str, ledger: Ledger, queue: Queue
) -> Iterator[str]:
    """Yield a sentence for each kind of job that a launch of today would not submit so."""
    yield from removed_jobs(plan, store, study, ledger, queue).sentences()
    yield from other_code(ledger, study, queue)
    for cluster in sorted(each or "default" for each in queue.unanswered):
        yield (
            f"cluster {cluster}, which has jobs of this store, does not answer from here; if it is "
            f"gone for good: `cancel --forget-cluster {cluster}`"
        )
