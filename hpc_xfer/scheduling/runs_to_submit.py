"""Choose the runs of a study to submit, and say why the others are left out.

    chosen = RunSelector(launched, "relay", statuses, ledger, queue).select()

The rules are in store/retry_policy.py; here are the counts that they need.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.run_states import RunStatus, line_of
from hpc_xfer.store import failures, retry_policy
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.retry_policy import Retrier
from hpc_xfer.store.submission_ledger import Element, Ledger
from hpc_xfer.study.plan import Plan, Run


@dataclass(frozen=True)
class Selection:
    """Runs to submit, and runs that are left out."""

    plan: Plan
    given_up: dict[str, str]  # run id -> why
    blocked: int  # runs whose parent is given up


@dataclass(frozen=True)
class RunSelector:
    """Selects by the status of each run and by who asks: the relay or a person."""

    launched: LaunchedStudy
    retrier: Retrier
    statuses: Mapping[str, RunStatus]
    ledger: Ledger
    queue: Queue

    def select(self) -> Selection:
        """Leave out runs that are done, queued or given up, and children of those given up."""
        given_up: dict[str, str] = {}
        blocked: set[str] = set()
        settled: set[str] = set()
        failed_parents: set[str] = set()
        for run in self.launched.wanted.runs:
            status = self.statuses[run.id]
            if status.state == "done" or status.held:
                settled.add(run.id)
                if status.state == "failed" and not status.is_retried("launch"):
                    failed_parents.add(run.id)  # its job goes on with the rest of the pack
            elif why := self._refusal(run, status):
                given_up[run.id] = why
                failed_parents.add(run.id)
            elif any(parent.id in failed_parents for parent in run.parents):
                blocked.add(run.id)
                failed_parents.add(run.id)
        left_out = settled | given_up.keys() | blocked
        return Selection(self.launched.wanted.without(left_out), given_up, len(blocked))

    def _refusal(self, run: Run, status: RunStatus) -> str:
        """Why a run is not submitted again; "" if it is."""
        if self.retrier == "all" or status.state == "blocked":
            return ""
        if status.state == "missing":
            cancelled = status.why == "cancelled" and self.retrier == "relay"
            return "cancelled" if cancelled else ""
        failure = f"{status.why}: {status.message}"
        if not status.is_retried(self.retrier):
            return failure
        return self._refusal_of_relay(run, failure) if self.retrier == "relay" else ""

    def _refusal_of_relay(self, run: Run, failure: str) -> str:
        folder, slurm = self.launched.store.run(run.id), self.launched.site.slurm
        if self.statuses[run.id].why in retry_policy.MEMORY_FAILURES and (
            retry_policy.is_memory_exhausted(memory_failures(folder), slurm)
        ):
            return failure
        jobs = self._jobs_without_progress(run)
        exhausted = retry_policy.is_exhausted(jobs, slurm)
        return f"{failure} ({jobs} jobs without progress)" if exhausted else ""

    def _jobs_without_progress(self, run: Run) -> int:
        """Count the jobs of this run since it last got further."""
        elements = self.ledger.elements_by_run.get(run.id, [])
        accepted = [e for e in reversed(elements) if e.job and e.submission.closed is None]
        never_begun = takewhile(lambda element: not self._has_begun(element, run), accepted)
        return len(list(never_begun)) + run_claims.jobs_without_progress(
            self.launched.store.run(run.id)
        )

    def _has_begun(self, element: Element, run: Run) -> bool:
        """True if the job started one of its runs, or is still in the queue, or was cancelled.

        So it is if it found a run held by another process: that is no attempt. A job that ended
        without starting one is an attempt: its node or environment is broken. So is one that
        started another run and ended at once, since it had no GPU.
        """
        line = line_of(self.queue, element)
        if line is not None and (line.live or line.state == "CANCELLED"):
            return True
        if element.index in element.submission.cancelled or element.job is None:
            return True
        name = element.submission.name
        own, store = self.launched.store.run(run.id), self.launched.store
        folders = map(store.run, self.ledger.packs(element.submission)[element.index])
        return any(
            element.job in run_claims.jobs(folder, name) | run_claims.found_held(folder, name)
            and (folder == own or not _ended_at_once(folder, element.job))
            for folder in folders
        )


def _ended_at_once(run: RunDir, job: str) -> bool:
    """Tell whether a run failed in a job so that the job began no other one."""
    past = (failures.read(run) or {}).get("history", [])
    return any(
        each.get("job") == job and retry_policy.rule_of(each["class"]).excludes_at_once
        for each in past
    )


def memory_failures(run: RunDir) -> int:
    """Count the times that a run failed for want of memory since it last succeeded."""
    return retry_policy.memory_failures(failures.history(failures.read(run)))


def select_for_this_machine(launched: LaunchedStudy, retrier: Retrier, done: set[str]) -> Selection:
    """Select for a launch without Slurm, which knows no jobs and no ledger."""
    given_up: dict[str, str] = {}
    blocked: set[str] = set()
    for run in launched.wanted.runs:
        error = failures.read(launched.store.run(run.id)) if run.id not in done else None
        if error is not None and not retry_policy.is_retried(error["class"], retrier):
            given_up[run.id] = f"{error['class']}: {error['message']}"
        elif run.id not in done and any(
            parent.id in given_up.keys() | blocked for parent in run.parents
        ):
            blocked.add(run.id)
    plan = launched.wanted.without(done | given_up.keys() | blocked)
    return Selection(plan, given_up, len(blocked))
