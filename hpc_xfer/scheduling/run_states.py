"""Find the status of each run of a plan: derived from store, ledger and queue, never stored.

    statuses = survey(plan, store, ledger, queue)
    statuses["c0ffee12ab34"].state   # done | running | pending | blocked | failed | lost | missing

The store shows what is done, failed and alive; the queue what Slurm has; the ledger which of its
jobs are ours. Accounting is optional: `with_accounting` adds what sacct knows of ended jobs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hpc_xfer.slurm.parsing import NEVER_SATISFIED, Queue, QueueLine
from hpc_xfer.slurm.queue import current_user, ended_jobs, jobs_are_private
from hpc_xfer.store import failures, heartbeat, retry_policy, run_claims
from hpc_xfer.store.retry_policy import Retrier
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Element, Ledger
from hpc_xfer.study.plan import Plan, Run

State = Literal["done", "running", "starting", "pending", "blocked", "failed", "lost", "missing"]
STATES: tuple[State, ...] = (
    "done", "running", "starting", "pending", "blocked", "failed", "lost", "missing",
)  # fmt: skip

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
        return self.state in ("running", "pending")

    @property
    def held(self) -> bool:
        """True while a job in the queue may execute this run, even if it failed in that job."""
        return self.live or (self.line is not None and self.line.live)

    def is_retried(self, by: Retrier) -> bool:
        """Tell whether a retrier tries a failed or lost run again, as far as its class tells."""
        if self.state not in ("failed", "lost"):
            return False
        return retry_policy.is_retried(self.why, by, lost=self.state == "lost")


def survey(plan: Plan, store: Store, ledger: Ledger, queue: Queue | None) -> dict[str, RunStatus]:
    """Find the status of every run, parents before their children.

    Args:
        queue: None where Slurm does not answer; no submitted run is then called lost.
    """
    begun = runs_with_folder(store)
    hidden = _hidden(ledger, queue) if queue is not None else set()
    found: dict[str, RunStatus] = {}
    for run in plan.runs:
        if run.id in begun and (record := store.result(run.id, run.kind)) is not None:
            seconds = record.get("timing", {}).get("seconds")
            found[run.id] = RunStatus("done", seconds=seconds)
            continue
        if queue is None:
            now = _without_queue(run, run.id in begun, store, ledger)
        else:
            now = _with_queue(run, run.id in begun, store, ledger, queue, hidden)
        found[run.id] = _behind_parents(run, now, found)
    return found


def with_accounting(
    plan: Plan, store: Store, ledger: Ledger, queue: Queue
) -> tuple[dict[str, RunStatus], Queue]:
    """Find the status of every run, with accounting for jobs that the queue has forgotten."""
    now = survey(plan, store, ledger, queue)
    unclear = {
        status.element.job
        for status in now.values()
        if status.state == "lost" and status.line is None and status.element and status.element.job
    }
    more = ended_jobs(unclear) if unclear else {}
    if not more:
        return now, queue
    queue = queue.with_ended(more)
    return survey(plan, store, ledger, queue), queue


def runs_with_folder(store: Store) -> set[str]:
    """Ids of the runs that have a folder: one listing instead of a look at each."""
    try:
        with os.scandir(store.run("x").path.parent) as entries:
            return {entry.name for entry in entries}
    except FileNotFoundError:
        return set()


def how_it_ended(line: QueueLine | None) -> str:
    """The class of failure for an ended job; `killed` where Slurm gives no reason."""
    if line is None or line.live:
        return "killed"
    if line.state == "CANCELLED" and line.reason == NEVER_SATISFIED:  # else a person cancelled it
        return "dependency"
    return _ENDS.get(line.state, "killed")


def _with_queue(
    run: Run, begun: bool, store: Store, ledger: Ledger, queue: Queue, hidden: set[str]
) -> RunStatus:
    elements = ledger.elements_by_run.get(run.id, [])
    for element in reversed(elements):
        line = queue.lines.get(element.job or "")
        if line is not None and line.live:
            return _live(run, begun, store, element, line)
    if begun and (alone := _elsewhere(run, store)):
        return alone
    if elements and elements[-1].submission.name in hidden and elements[-1].job not in queue.lines:
        return _in_hidden_job(run, begun, store, elements[-1])
    error = failures.read(store.run(run.id)) if begun else None
    last = elements[-1] if elements else None
    line = queue.lines.get(last.job or "") if last else None
    if error is not None and not _is_older(error, last):
        return RunStatus("failed", error["class"], error["message"], last, line, error=error)
    if last is None or last.job is None or last.submission.closed is not None:
        return RunStatus("missing", element=last)
    if last.index in last.submission.cancelled:
        return RunStatus("missing", "cancelled", element=last, line=line)
    how = how_it_ended(line)
    state: State = "missing" if how in ("cancelled", "dependency") else "lost"
    message = f"job {last.job} ended without a result of this run"
    return RunStatus(state, how, message, last, line)


def _is_older(error: Mapping[str, Any], last: Element | None) -> bool:
    """Tell whether an error is from before the last submission, which then decides the status.

    The clocks of nodes differ, so an error of that very job is never older.
    """
    if last is None or last.job is None or last.submission.closed is not None:
        return False
    if error.get("job") == last.job:
        return False
    return bool(error["time"] < datetime.fromisoformat(last.submission.time).timestamp())


def _live(run: Run, begun: bool, store: Store, element: Element, line: QueueLine) -> RunStatus:
    """The status of a run whose element is in the queue."""
    if line.state == "PENDING" or not begun:
        behind = element.position if line.state != "PENDING" else 0
        why = f"behind {behind} of its pack" if behind else line.reason
        return RunStatus("pending", why, element=element, line=line)
    folder = store.run(run.id)
    claim = run_claims.holder(folder) or {}
    if claim.get("slurm_job") == element.job:
        error = failures.read(folder)
        if error is not None and error["job"] == element.job and error["time"] >= claim["time"]:
            what = (error["class"], error["message"], element, line)
            return RunStatus("failed", *what, error=error)
        if not claim.get("released"):
            return RunStatus("running", element=element, line=line, progress=heartbeat.read(folder))
    return RunStatus("pending", "behind others of its pack", element=element, line=line)


def _hidden(ledger: Ledger, queue: Queue) -> set[str]:
    """Names of other users' submissions that Slurm hides from us, where jobs are private."""
    me, shown = current_user(), {line.name for line in queue.lines.values()}
    others = {
        submission.name
        for submission in ledger.submissions.values()
        if submission.user != me and submission.job is not None and submission.name not in shown
    }
    return others if others and jobs_are_private() else set()


def _in_hidden_job(run: Run, begun: bool, store: Store, last: Element) -> RunStatus:
    """The status of a run in a hidden job: its own user's relay and launches see its end."""
    folder = store.run(run.id)
    whose = f"job {last.job} of {last.submission.user}, which Slurm does not show"
    if begun and run_claims.is_alive(folder):
        return RunStatus("running", whose, element=last, progress=heartbeat.read(folder))
    error = failures.read(folder) if begun else None
    if error is not None and not _is_older(error, last):
        return RunStatus("failed", error["class"], error["message"], last, error=error)
    return RunStatus("pending", whose, element=last)


def _without_queue(run: Run, begun: bool, store: Store, ledger: Ledger) -> RunStatus:
    """The status as the store alone shows it."""
    folder, elements = store.run(run.id), ledger.elements_by_run.get(run.id, [])
    last = elements[-1] if elements else None
    if begun and run_claims.is_alive(folder):
        return RunStatus("running", element=last, progress=heartbeat.read(folder))
    error = failures.read(folder) if begun else None
    if error is not None:
        return RunStatus("failed", error["class"], error["message"], last, error=error)
    if last is None or last.submission.closed is not None:
        return RunStatus("missing", element=last)
    return RunStatus("pending", "Slurm does not answer", element=last)


def _elsewhere(run: Run, store: Store) -> RunStatus | None:
    """The status of a run that a launch without Slurm executes; else None."""
    folder = store.run(run.id)
    claim = run_claims.holder(folder)
    if claim is None or claim["slurm_job"] is not None or not run_claims.is_alive(folder):
        return None
    where = f"process {claim['pid']} on {claim['host']}"
    return RunStatus("running", where, progress=heartbeat.read(folder))


def _behind_parents(run: Run, now: RunStatus, found: Mapping[str, RunStatus]) -> RunStatus:
    """Change the status to blocked if a parent of the run failed or is blocked."""
    if now.state in ("running", "pending", "failed"):
        return now
    for parent in run.parents:
        state = found[parent.id].state
        if state in ("failed", "blocked"):
            return RunStatus("blocked", f"parent {parent.id} {state}", element=now.element)
    return now
