"""Take one look at a study: store, ledger and queue at the same moment."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.monitoring.study_arguments import ANY_STUDY, StudyArguments
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states import run_states
from hpc_xfer.states.job_numbers import wrong_numbers
from hpc_xfer.states.moved_store import misplaced
from hpc_xfer.states.queue_notes import queue_notes
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.states.second_look import (
    last_relay,
    read_queues,
    survey_twice,
    with_absent_jobs,
)
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, read_ledger
from hpc_xfer.study.labels import RunTitles
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.state_words import STATES


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
    arguments: StudyArguments = ANY_STUDY  # by which other commands find the study
    notes: Sequence[str] = ()  # further sentences for the user

    @cached_property
    def titles(self) -> RunTitles:
        """Readable names of the runs."""
        return RunTitles(self.plan)

    @property
    def labels(self) -> Mapping[str, str]:
        """Readable names of the pre-trainings, by run id."""
        return self.titles.labels

    @cached_property
    def counts(self) -> dict[str, int]:
        """Runs in each state."""
        counts = Counter(status.state for status in self.status.values())
        return {state: counts[state] for state in STATES}

    @property
    def lost(self) -> dict[str, str]:
        """Why runs whose job ended have no result; nobody tries them again where nothing is live.

        A run that never began in its job has left no error.json.
        """
        lost = {run: each for run, each in self.status.items() if each.state == "lost"}
        return {run: f"{each.why}: {each.message}" for run, each in lost.items()}

    @cached_property
    def is_launched(self) -> bool:
        """Tell whether the study was ever launched in this store, by whatever way."""
        return os.path.exists(self.store.study(self.name).plan)

    @cached_property
    def is_cancelled(self) -> bool:
        """Tell whether its last launch was cancelled."""
        return os.path.exists(self.store.study(self.name).cancelled)

    @cached_property
    def relay(self) -> QueueLine | None:
        """The study's relay job, if it is in the queue and not being cancelled."""
        for submission in self.ledger.submissions_of(self.name):
            if submission.kind != "relay" or self.queue is None or submission.cancelled:
                continue
            line = self.queue.find(submission.job, submission.name, submission.user)
            if line is not None and line.live:
                return line
        return None

    @property
    def silent_cluster_of_relay(self) -> str | None:
        """The cluster of the last relay, if it does not answer."""
        relays = last_relay(self.ledger, self.name) if self.queue else []
        silent = self.queue.unanswered if self.queue else frozenset()
        return next((each.cluster for each in relays if each.cluster in silent), None)

    @property
    def is_live(self) -> bool:
        """Tell whether a job or a process still works for the study."""
        return self.relay is not None or any(status.live for status in self.status.values())


def read_study_state(
    plan: Plan,
    store: Store,
    name: str,
    slurm: Slurm,
    arguments: StudyArguments = ANY_STUDY,
) -> StudyState:
    """Read store, ledger and queue; Slurm is asked once, and again for jobs that it did not show.

    Args:
        slurm: settings of the site.
        arguments: by which other commands find the study.
    """
    ledger = read_ledger(store)
    places = misplaced(store, ledger)
    ledger.put_aside(submission.name for submission in (*places.moved, *places.not_ours))
    queue: Queue | None = None
    slurm_error = ""
    notes: list[str] = []
    try:
        found = _queue(ledger, slurm, name)
        status, queue = survey_twice(plan, store, ledger, found)
        notes += places.sentences(queue)
        notes += queue_notes(plan, store, name, ledger, queue)
    except SlurmError as error:
        slurm_error = str(error)
        status = run_states.survey(plan, store, ledger, None)
    return StudyState(name, plan, store, ledger, queue, slurm_error, status, arguments, notes)


def _queue(ledger: Ledger, slurm: Slurm, study: str) -> Queue:
    """Read the queue; where nothing of the store ever went to Slurm, it is not asked."""
    if not ledger.submissions:
        return Queue()
    queue = with_absent_jobs(read_queues(ledger, slurm), last_relay(ledger, study))
    for submission, job in wrong_numbers(ledger, queue):
        ledger.assume(submission, job)
    return queue


def study_states(look: Callable[[], StudyState], every: float) -> Iterator[StudyState]:
    """Yield the state every so many seconds; the last one when nothing is live any more."""
    while True:
        state = look()
        yield state
        if not state.is_live:
            return
        time.sleep(every)  # each look is a question to Slurm, which serves others too


def place_of(status: RunStatus) -> tuple[str, str]:
    """Return job and node of a run, as tables show them.

    A run that a process outside of the study's jobs executes has that process as its job.
    """
    if status.state == "done":
        return "", ""
    if is_elsewhere(status):
        return status.why, ""
    job = status.element.job if status.element else None
    return job or "", status.line.nodes if status.line else ""


def is_elsewhere(status: RunStatus) -> bool:
    """Tell whether a process executes the run that is in no job of the study in the queue."""
    return status.state == "running" and status.why not in ("", "None")
