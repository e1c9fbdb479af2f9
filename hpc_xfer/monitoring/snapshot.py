"""One look at a study: store, ledger and queue as they are at this moment."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hpc_xfer.errors import SlurmError
from hpc_xfer.scheduling import run_states
from hpc_xfer.scheduling.run_states import STATES, RunStatus
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.slurm.queue import current_queue
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, read_ledger
from hpc_xfer.study.labels import pretrain_labels
from hpc_xfer.study.plan import Plan


@dataclass(frozen=True)
class StudySnapshot:
    """One look at a study."""

    name: str
    plan: Plan
    store: Store
    ledger: Ledger
    queue: Queue | None
    silence: str  # why Slurm was not asked, or did not answer
    now: Mapping[str, RunStatus]
    labels: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(each.state for each in self.now.values())
        return {state: found[state] for state in STATES}

    @property
    def relay(self) -> QueueLine | None:
        """The job that keeps the study going, if it is in the queue."""
        for submission in self.ledger.submissions_of(self.name):
            line = self.queue.lines.get(submission.job or "") if self.queue else None
            if submission.kind == "relay" and line and line.live:
                return line
        return None


def take_snapshot(whole: Plan, store: Store, name: str) -> StudySnapshot:
    """Store, ledger and queue as they are now."""
    ledger = read_ledger(store)
    queue, silence = _queue(ledger)
    if queue is None:
        now = run_states.survey(whole, store, ledger, None)
    else:
        now, queue = run_states.with_accounting(whole, store, ledger, queue)
    labels = pretrain_labels(whole.of("pretrain"))
    return StudySnapshot(name, whole, store, ledger, queue, silence, now, labels)


def _queue(ledger: Ledger) -> tuple[Queue | None, str]:
    """The queue, an empty one where nothing of the store ever went to Slurm."""
    if not ledger.submissions:
        return Queue(), ""
    try:
        return current_queue(), ""
    except SlurmError as error:
        return None, str(error)
