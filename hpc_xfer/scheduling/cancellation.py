"""Cancel the jobs of a study, except those that another study waits for."""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.job_numbers import lines_of, wrong_numbers
from hpc_xfer.states.moved_store import misplaced
from hpc_xfer.states.removed_runs import Job, removed_jobs
from hpc_xfer.states.second_look import read_queues, with_absent_jobs
from hpc_xfer.store.launched_study import check_launched, runs_of_other_studies
from hpc_xfer.store.ownership import launch_lock
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, read_ledger
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import atomic_files, terminal


@dataclass
class CancelReport:
    """Ids of jobs and elements that were cancelled or left."""

    jobs: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # another study waits for them
    silent: list[str] = field(default_factory=list)  # clusters with jobs that do not answer

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": 1, "cancelled": self.jobs, "kept_for_others": self.kept,
            "clusters_without_answer": self.silent,
        }  # fmt: skip


def cancel(store: Store, name: str, slurm: Slurm) -> CancelReport:
    """Cancel the jobs of a study, under the store's lock: no relay submits them again meanwhile.

    A job is cancelled only if its number, its name and its user are those of a submission. The jobs
    of a store of which this one is a copy are left to that one.

    Raises:
        SlurmError: Slurm does not answer.
        StoreError: no such study was launched here.
    """
    with _locked(store, name, slurm) as (ledger, queue):
        wanted = runs_of_other_studies(store, name)
        atomic_files.write_text(store.study(name).cancelled, "launch the study again to go on\n")
        report = CancelReport(silent=_silent(queue))
        submissions = sorted(ledger.submissions_of(name), key=lambda s: s.kind != "relay")
        for submission in submissions:
            jobs = _live_elements(submission, queue)
            _cancel_elements(submission, jobs, ledger, store, wanted, report)
        return report


def cancel_removed(store: Store, name: str, slurm: Slurm, plan: Plan) -> CancelReport:
    """Cancel the jobs whose runs the grid no longer has; the others and the relay go on.

    Raises:
        SlurmError: Slurm does not answer.
        StoreError: no such study was launched here.
    """
    with _locked(store, name, slurm) as (ledger, queue):
        report = CancelReport(silent=_silent(queue))
        by_submission: dict[str, list[Job]] = {}
        for job in removed_jobs(plan, store, name, ledger, queue).jobs:
            by_submission.setdefault(job[0].name, []).append(job)
        for jobs in by_submission.values():
            _cancel_elements(jobs[0][0], jobs, ledger, store, set(), report)
        return report


def forget_cluster(store: Store, name: str, slurm: Slurm, cluster: str) -> int:
    """Give up the jobs of a study on a cluster that is gone for good; return their number.

    Raises:
        SlurmError: the cluster answers, or Slurm does not.
        StoreError: no such study was launched here.
    """
    with _locked(store, name, slurm) as (ledger, queue):
        gone = [s for s in ledger.submissions_of(name) if s.cluster == cluster and s.closed is None]
        if gone and cluster not in queue.unanswered:
            raise SlurmError(
                f"cluster {cluster} answers, so its jobs are not forgotten; cancel them instead"
            )
        for submission in gone:
            ledger.record_closed(submission, "forgotten")
        return len(gone)


def _waiting(holder: dict[str, Any]) -> None:
    process, host = holder.get("pid"), holder.get("host")
    message = f"another launch is in progress (process {process} on {host}); waiting"
    terminal.say(message, stderr=True)


@contextlib.contextmanager
def _locked(store: Store, name: str, slurm: Slurm) -> Iterator[tuple[Ledger, Queue]]:
    """Hold the store's lock; yield the ledger and the queue.

    The ledger is without the jobs of a store of which this one is a copy.
    """
    check_launched(store, name)
    with launch_lock.held(store, _waiting):
        ledger = read_ledger(store)
        ledger.put_aside(submission.name for submission in misplaced(store, ledger).copied)
        open_ones = [s for s in ledger.submissions_of(name) if s.job and s.closed is None]
        queue = with_absent_jobs(read_queues(ledger, slurm), open_ones)
        for submission, job in wrong_numbers(ledger, queue):
            ledger.record_submitted(submission, job, adopted=True)
        yield ledger, queue


def _cancel_elements(
    submission: Submission, jobs: Collection[Job], ledger: Ledger, store: Store, wanted: set[str],
    report: CancelReport,
) -> None:  # fmt: skip
    """Cancel elements of one submission, after recording it in the ledger."""
    packs = ledger.packs(submission)
    gone: dict[int, str] = {}
    cluster = submission.cluster
    for _, index, line in jobs:
        runs = packs[index] if index < len(packs) else []
        if any(run in wanted and store.record(run) is None for run in runs):
            report.kept.append(line.job)
        else:
            gone[index], cluster = line.job, line.cluster
    if not gone:
        return
    ledger.record_cancelled(submission, gone)
    is_whole = submission.elements is None or len(gone) == submission.elements
    numbers = {line.number for _, _, line in jobs}
    cancel_jobs(numbers if is_whole else list(gone.values()), cluster)
    report.jobs += gone.values()


def _live_elements(submission: Submission, queue: Queue) -> list[Job]:
    found = []
    for line in lines_of(queue, submission):
        _, _, index = line.job.partition("_")
        if line.live:
            found.append((submission, int(index or 0), line))
    return sorted(found, key=lambda job: job[1])


def _silent(queue: Queue) -> list[str]:
    return sorted(each or "default" for each in queue.unanswered)
