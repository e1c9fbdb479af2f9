"""Find the status of each run of a plan: derived from store, ledger and queue, never stored.

    statuses = survey(plan, store, ledger, queue)
    statuses["c0ffee12ab34"].state                # one of state_words.STATES

The store shows what is done, failed and alive; the queue what Slurm has; the ledger which of its
jobs are ours. A job is ours if its number, name and user agree. What the queue does not show is
called lost by `second_look.survey_twice` only, which asks Slurm again by another way.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.slurm.parsing import NEVER_SATISFIED, Queue, QueueLine
from hpc_xfer.slurm.queue import current_user, jobs_are_private
from hpc_xfer.states.error_age import is_older
from hpc_xfer.store import failures, retry_policy
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.retry_policy import Retrier
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Element, Ledger
from hpc_xfer.study.plan import Plan, Run
from hpc_xfer.study.state_words import BEING_CANCELLED, CANCELLED, JUST_SUBMITTED, State
from hpc_xfer.system.limits import cycle_collector

# Slurm's state of an ended job -> our class of failure; the rest is `killed`.
_ENDS = {
    "TIMEOUT": "time limit",
    "DEADLINE": "time limit",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
    "PREEMPTED": "preempted",
    "OUT_OF_MEMORY": "out of memory",
    "CANCELLED": "cancelled",
}
_UNANSWERED = "Slurm does not answer"  # so that a run may wait, or not
_RECENT_SECONDS = 60.0  # in which a controller that restarts may not show a new job yet


@dataclass(frozen=True)
class RunStatus:
    """Status of one run.

    `why` is Slurm's reason for a pending run, the class of a failure, or what blocks the run.
    """

    state: State
    why: str = ""
    message: str = ""
    element: Element | None = None
    line: QueueLine | None = None
    progress: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    seconds: float | None = None  # duration of a run that is done

    @property
    def live(self) -> bool:
        return self.state in ("running", "starting", "pending")

    @property
    def held(self) -> bool:
        """True while a job in the queue may execute this run, even if it failed in that job."""
        return self.live or (self.line is not None and self.line.live)

    def is_in(self, queue: Queue) -> bool:
        """Tell whether its job is on the cluster that was asked: other jobs can wait for it."""
        return self.line is not None and self.line.cluster == queue.cluster

    def is_retried(self, by: Retrier) -> bool:
        """Tell whether a retrier tries a failed or lost run again, as far as its class tells."""
        if self.state not in ("failed", "lost"):
            return False
        return retry_policy.is_retried(self.why, by, lost=self.state == "lost")


@cycle_collector.paused()
def survey(
    plan: Plan,
    store: Store,
    ledger: Ledger,
    queue: Queue | None,
    before: FinishedRuns | None = None,
) -> dict[str, RunStatus]:
    """Find the status of every run, parents before their children.

    Args:
        queue: None where Slurm does not answer; no submitted run is then called lost.
        before: a look at the finished runs, used if it found all: finished runs stay so.
    """
    finished = (before and before.if_all(plan.runs)) or store.finished_runs()
    return _Survey(store, ledger, queue, finished).of(plan)


def line_of(queue: Queue, element: Element) -> QueueLine | None:
    """The line of an element's job; None where no job of this number is ours."""
    submission = element.submission
    return queue.find(element.job, submission.name, submission.user)


@dataclass
class _Survey:
    """One look at all runs of a plan."""

    store: Store
    ledger: Ledger
    queue: Queue | None
    finished: FinishedRuns
    found: dict[str, RunStatus] = field(default_factory=dict)

    def of(self, plan: Plan) -> dict[str, RunStatus]:
        for run in plan.runs:
            if (done := self.finished.find(run)) is not None:
                self.found[run.id] = RunStatus("done", seconds=done.seconds)
                continue
            is_begun = run.id in self.finished.folders
            elements = self.ledger.elements_by_run.get(run.id, [])
            if self.queue is None:
                now = self._without_queue(run, is_begun, elements)
            else:
                now = self._with_queue(run, is_begun, elements, self.queue)
            self.found[run.id] = _behind_parents(run, now, self.found)
        self.finished.save()
        return self.found

    def _with_queue(
        self, run: Run, begun: bool, elements: list[Element], queue: Queue
    ) -> RunStatus:
        folder = self.store.run(run.id)
        for element in reversed(elements):
            line = line_of(queue, element)
            if line is not None and line.live:
                alone = _elsewhere(folder, elements, queue, element) if begun else None
                return alone or self._live(folder, begun, element, line)
        if begun and (alone := _elsewhere(folder, elements, queue)):
            return alone
        last = elements[-1] if elements else None
        line = line_of(queue, last) if last else None
        if last and line is None and last.submission.name in self._hidden:
            return self._in_hidden_job(folder, begun, elements)
        error = failures.read(folder) if begun else None
        if error is not None and not is_older(error, folder, elements):
            return RunStatus("failed", error["class"], error["message"], last, line, error=error)
        if last is None or last.job is None or last.submission.closed is not None:
            return RunStatus("missing", element=last)
        if last.index in last.submission.cancelled:
            return RunStatus("missing", CANCELLED, element=last, line=line)
        if line is None and self._is_recent(last):
            return RunStatus("pending", JUST_SUBMITTED, element=last)
        how = how_it_ended(line)
        state: State = "missing" if how in ("cancelled", "dependency") else "lost"
        return RunStatus(state, how, self._end_of(last, line), last, line)

    def _live(self, folder: RunDir, begun: bool, element: Element, line: QueueLine) -> RunStatus:
        """The status of a run whose element is in the queue."""
        if element.index in element.submission.cancelled:
            return RunStatus("missing", BEING_CANCELLED, element=element, line=line)
        if line.state == "PENDING":
            return RunStatus("pending", line.reason, element=element, line=line)
        claim = (run_claims.holder(folder) if begun else None) or {}
        if _is_claim_of(claim, element):
            error = failures.of_last_start(folder)
            if error is not None:
                what = (error["class"], error["message"], element, line)
                return RunStatus("failed", *what, error=error)
            if not claim.get("released") and line.state != "COMPLETING":  # else Slurm ends it
                beat = run_claims.progress(folder, claim)
                return RunStatus("running", element=element, line=line, progress=beat)
        if line.state not in ("RUNNING", "CONFIGURING"):
            return RunStatus("pending", line.state.lower(), element=element, line=line)
        if behind := self._unfinished_before(element):
            return RunStatus("pending", f"behind {behind} of its pack", element=element, line=line)
        return RunStatus("starting", element=element, line=line)

    def _unfinished_before(self, element: Element) -> int:
        """Count the runs of the pack that come before and are not done."""
        before = self.ledger.packs(element.submission)[element.index][: element.position]
        return sum(run not in self.found or self.found[run].state != "done" for run in before)

    def _in_hidden_job(self, folder: RunDir, begun: bool, elements: list[Element]) -> RunStatus:
        """The status of a run in a hidden job: its own user's relay and launches see its end."""
        last = elements[-1]
        if last.submission.user != current_user():
            whose = f"job {last.job} of {last.submission.user}, which Slurm does not show"
        else:
            whose = f"job {last.job} on cluster {last.submission.cluster}, which does not answer"
        if begun and run_claims.is_alive(folder):
            return RunStatus("running", whose, element=last, progress=run_claims.progress(folder))
        error = failures.read(folder) if begun else None
        if error is not None and not is_older(error, folder, elements):
            return RunStatus("failed", error["class"], error["message"], last, error=error)
        return RunStatus("pending", whose, element=last)

    def _without_queue(self, run: Run, begun: bool, elements: list[Element]) -> RunStatus:
        """The status as the store alone shows it."""
        folder, last = self.store.run(run.id), elements[-1] if elements else None
        if begun and run_claims.is_alive(folder):
            return RunStatus("running", element=last, progress=run_claims.progress(folder))
        error = failures.read(folder) if begun else None
        if error is not None and not is_older(error, folder, elements):
            return RunStatus("failed", error["class"], error["message"], last, error=error)
        if last is None or last.submission.closed is not None:
            return RunStatus("missing", element=last)
        if last.index in last.submission.cancelled:
            return RunStatus("missing", CANCELLED, element=last)
        return RunStatus("pending", _UNANSWERED, element=last)

    @cached_property
    def _hidden(self) -> set[str]:
        """Names of submissions that the queue may lack: of other users, where jobs are private, and
        on clusters that do not answer.
        """
        assert self.queue is not None
        me, shown = current_user(), {line.name for line in self.queue.lines.values()}
        with_job = [s for s in self.ledger.submissions.values() if s.job is not None]
        others = {s.name for s in with_job if s.user != me and s.name not in shown}
        silent = {s.name for s in with_job if s.cluster in self.queue.unanswered}
        if others and not jobs_are_private(self.queue.cluster):
            others = set()
        return others | silent

    def _is_recent(self, element: Element) -> bool:
        """Tell whether Slurm may not show it yet: it was submitted a moment ago, and none later.

        An answer that shows a later submission is one from after this one.
        """
        stored = element.submission.stored
        if stored is None or stored < self._last_shown:
            return False
        return abs(self._now - stored) < _RECENT_SECONDS

    @cached_property
    def _last_shown(self) -> float:
        """Time, by the file server's clock, of the last submission that the queue shows."""
        queue = self.queue or Queue()
        shown = (s for s in self.ledger.own() if queue.named(s.name, s.user))
        return max((submission.stored or 0.0 for submission in shown), default=0.0)

    @cached_property
    def _now(self) -> float:
        return server_time(self.store.root)

    def _end_of(self, element: Element, line: QueueLine | None) -> str:
        """Say how a job ended that left no result of a run."""
        logs = self.store.study(element.submission.study).logs
        if line is None or line.state != "FAILED" or log_path(logs, str(element.job)).exists():
            return f"job {element.job} ended without a result of this run"
        return (
            f"job {element.job} ended without a log: its node could not open {logs}; mount it "
            "there under this path, or choose another --store"
        )


def runs_with_folder(store: Store) -> set[str]:
    """Ids of the runs that have a folder: one listing instead of a look at each."""
    try:
        with os.scandir(store.run("x").path.parent) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def how_it_ended(line: QueueLine | None) -> str:
    """The class of failure for an ended job; `killed` where Slurm gives no reason."""
    if line is None or line.live:
        return "killed"
    if line.state == "CANCELLED" and line.reason == NEVER_SATISFIED:  # else a person cancelled it
        return "dependency"
    return _ENDS.get(line.state, "killed")


def _is_claim_of(claim: Mapping[str, Any], element: Element) -> bool:
    """Tell whether a claim was made in the job of an element; old claims have no job name."""
    name = claim.get("slurm_job_name") or element.submission.name
    return (claim.get("slurm_job"), name) == (element.job, element.submission.name)


def _elsewhere(
    folder: RunDir, elements: list[Element], queue: Queue, queued: Element | None = None
) -> RunStatus | None:
    """The status of a run that a process executes which is in no job of ours; else None.

    It may have been started by a launch without Slurm, in an interactive job, by hand; or its job
    is in no answer of Slurm, and its heartbeat moves all the same.

    Args:
        queued: in the queue; its job will wait for the process, or end.
    """
    claim = run_claims.holder(folder)
    if claim is None or (queued is not None and _is_to_be_left(claim, queued)):
        return None
    if is_owner_dead(claim, folder, elements, queue):
        return None
    for element in elements:
        if element.index in element.submission.cancelled and _is_claim_of(claim, element):
            return RunStatus("missing", BEING_CANCELLED, element=element)  # its process still ends
    line = line_of(queue, queued) if queued is not None else None
    who = run_claims.owner_text(claim)
    beat = run_claims.progress(folder, claim)
    return RunStatus("running", who, element=queued, line=line, progress=beat)


def _is_to_be_left(claim: Mapping[str, Any], queued: Element) -> bool:
    """Tell whether an element's own state goes before the process of a claim."""
    return _is_claim_of(claim, queued) or queued.index in queued.submission.cancelled


def is_owner_dead(
    claim: Mapping[str, Any], folder: RunDir, elements: list[Element], queue: Queue
) -> bool:
    """Tell whether the owner of a claim is proven dead, or has released it.

    A process of this host is looked up. Of another host, Slurm's word that the job has ended
    counts; what Slurm does not know counts as alive while its heartbeat moves.
    """
    sign = run_claims.sign_of_life(folder)
    return sign is None or (sign == "heartbeat" and _has_ended(claim, elements, queue))


def _has_ended(claim: Mapping[str, Any], elements: list[Element], queue: Queue) -> bool:
    """Tell whether Slurm shows the job of a claim, and as ended."""
    lines = [line_of(queue, each) for each in elements if _is_claim_of(claim, each)]
    other = queue.lines.get(claim.get("slurm_job") or "")  # an interactive job
    if other is not None and other.name == claim.get("slurm_job_name"):
        lines.append(other)
    known = [line for line in lines if line is not None]
    return bool(known) and not any(line.live for line in known)


def _behind_parents(run: Run, now: RunStatus, found: Mapping[str, RunStatus]) -> RunStatus:
    """Change the status to blocked if a parent of the run failed or is blocked."""
    if now.state == "failed" or (now.live and now.why != _UNANSWERED):
        return now
    for parent in run.parents:
        state = found[parent.id].state
        if state in ("failed", "blocked"):
            return RunStatus("blocked", f"parent {parent.id} {state}", element=now.element)
    return now
