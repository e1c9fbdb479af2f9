"""Take one look at a study: store, ledger and queue at the same moment."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpc_xfer.errors import SlurmError
from hpc_xfer.scheduling import run_states
from hpc_xfer.scheduling.run_states import STATES, RunStatus
from hpc_xfer.scheduling.second_look import survey_twice
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.slurm.queue import current_queue
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, read_ledger
from hpc_xfer.study.labels import pretrain_labels
from hpc_xfer.study.plan import Plan


@dataclass(frozen=True)
class StudyState:
    """State of a study at one moment."""

    name: str
    plan: Plan
    store: Store
    ledger: Ledger
    queue: Queue | None
    slurm_error: str  # why Slurm was not asked, or did not answer
    status: Mapping[str, RunStatus]  # of each run, by its id
    labels: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Runs in each state."""
        counts = Counter(status.state for status in self.status.values())
        return {state: counts[state] for state in STATES}

    @property
    def relay(self) -> QueueLine | None:
        """The study's relay job, if it is in the queue."""
        for submission in self.ledger.submissions_of(self.name):
            line = self.queue.lines.get(submission.job or "") if self.queue else None
            if submission.kind == "relay" and line and line.live:
                return line
        return None

    @property
    def is_live(self) -> bool:
        """Tell whether a job or a process still works for the study."""
        return self.relay is not None or any(status.live for status in self.status.values())


def read_study_state(plan: Plan, store: Store, name: str) -> StudyState:
    """Read store, ledger and queue; Slurm is asked once."""
    ledger = read_ledger(store)
    queue, slurm_error = _queue(ledger)
    if queue is None:
        status = run_states.survey(plan, store, ledger, None)
    else:
        status, queue = survey_twice(plan, store, ledger, queue)
    labels = pretrain_labels(plan.of("pretrain"))
    return StudyState(name, plan, store, ledger, queue, slurm_error, status, labels)


def study_states(plan: Plan, store: Store, name: str, every: float) -> Iterator[StudyState]:
    """Yield the state every so many seconds; the last one when nothing is live any more."""
    while True:
        state = read_study_state(plan, store, name)
        yield state
        if not state.is_live:
            return
        time.sleep(every)  # each look is a question to Slurm, which serves others too


def _queue(ledger: Ledger) -> tuple[Queue | None, str]:
    """Return the queue, an empty one where nothing of the store ever went to Slurm."""
    if not ledger.submissions:
        return Queue(), ""
    try:
        return current_queue(), ""
    except SlurmError as error:
        return None, str(error)
