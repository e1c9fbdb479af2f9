"""Find what jobs and processes use of a store: their runs, and the code that they will run.

    used = in_use(store, site.slurm)
    used.codes          # digests of snapshots

What Slurm does not show is doubted: a job counts as live until it is known to have ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.job_names import is_of_store
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import current_queue, current_user, jobs_are_private
from hpc_xfer.slurm.sbatch import is_installed
from hpc_xfer.states.job_numbers import lines_of
from hpc_xfer.states.second_look import read_queues, with_absent_jobs
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, read_ledger
from hpc_xfer.system.terminal import counted


@dataclass
class InUse:
    """The runs and the code of a store that jobs and processes use."""

    submissions: int = 0  # that may have a job in the queue
    by_hand: int = 0  # jobs and elements in the queue that no launch submitted
    runs: set[str] = field(default_factory=set)  # in these, or at work in a process
    codes: set[str] = field(default_factory=set)  # that these will run
    why_unknown: str = ""  # Slurm does not answer

    @property
    def is_any(self) -> bool:
        return bool(self.submissions or self.by_hand or self.runs)

    def sentence(self) -> str:
        """Say what is at work; "" where nothing is."""
        if self.why_unknown:
            return f"Slurm does not answer ({self.why_unknown}): all jobs count as live"
        if not self.is_any:
            return ""
        hand = f", and {counted(self.by_hand, 'job')} submitted by hand" if self.by_hand else ""
        verb = "is" if len(self.runs) == 1 else "are"
        return f"{counted(len(self.runs), 'run')} {verb} in the queue or at work{hand}"


def in_use(store: Store, slurm: Slurm, claimed: Iterable[str] = ()) -> InUse:
    """Find what the jobs of all studies of a store use, and processes outside of jobs.

    Args:
        claimed: ids of runs that have claims.
    """
    found = InUse()
    ledger = read_ledger(store)
    open_ones = [s for s in ledger.submissions.values() if s.closed is None]
    queue: Queue | None = None
    if open_ones:
        try:
            queue = with_absent_jobs(read_queues(ledger, slurm), open_ones)
        except SlurmError as error:
            found.why_unknown = str(error)
    elif is_installed():
        try:  # no launch has a job there
            queue = current_queue(cluster_of(slurm), patience=0)
        except SlurmError as error:
            found.why_unknown = str(error) if _has_arrays_by_hand(store, ledger) else ""
    for submission in open_ones:
        if queue is None or _may_be_live(submission, queue):
            _add(found, ledger, submission)
    if queue is not None:
        found.by_hand = _by_hand(queue, store, ledger)
    found.runs |= {run_id for run_id in claimed if run_claims.is_alive(store.run(run_id))}
    return found


def _may_be_live(submission: Submission, queue: Queue) -> bool:
    """Tell whether a submission has a job in the queue, or may have one that is not shown."""
    if submission.is_unresolved or submission.cluster in queue.unanswered:
        return True
    lines = lines_of(queue, submission)
    if not lines and submission.user != current_user():
        return jobs_are_private(queue.cluster)
    return any(line.live for line in lines)


def _has_arrays_by_hand(store: Store, ledger: Ledger) -> bool:
    """Tell whether the store has job arrays that no launch submitted: `--by-hand` wrote them."""
    submitted = {submission.batch for submission in ledger.submissions.values()}
    arrays = (path for name in store.studies() for path in store.study(name).packs.glob("*.json"))
    return any(path.stem not in submitted for path in arrays)


def _by_hand(queue: Queue, store: Store, ledger: Ledger) -> int:
    """Count the jobs with names that this store gives and its ledger lacks: of `--by-hand`."""
    known = ledger.submissions
    others = (line for line in queue.lines.values() if line.live and line.name not in known)
    return sum(is_of_store(line.name, store.tag) for line in others)


def _add(found: InUse, ledger: Ledger, submission: Submission) -> None:
    found.submissions += 1
    found.runs |= {run for pack in ledger.packs(submission) for run in pack}
    if submission.code is not None:
        found.codes.add(submission.code)
