"""Cancel the jobs of a study, except those that another study waits for."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.scheduling.replace_moved import proven
from hpc_xfer.slurm.control import cancel_jobs, is_ours
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states.job_numbers import lines_of, wrong_numbers
from hpc_xfer.states.moved_store import given_tag, live_jobs, misplaced
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
    mixed: list[str] = field(default_factory=list)  # have runs outside the part to cancel
    silent: list[str] = field(default_factory=list)  # clusters with jobs that do not answer
    left: list[QueueLine] = field(default_factory=list)  # not named by this store, or not ours

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": 1, "cancelled": self.jobs, "kept_for_others": self.kept,
            **({"kept_for_other_parts": self.mixed} if self.mixed else {}),
            "clusters_without_answer": self.silent, "left_to_you": [each.job for each in self.left],
        }  # fmt: skip


def cancel(store: Store, name: str, slurm: Slurm) -> CancelReport:
    """Cancel the jobs of a study, under the store's lock: no relay submits them again meanwhile.

    A job is cancelled only if its number, its name and its user are those of a submission. The jobs
    of a store of which this one is a copy are left to that one.

    Raises:
        SlurmError: Slurm does not answer.
        StoreError: no such study was launched here.
    """
    with _locked(store, name, slurm) as (ledger, queue, left):
        wanted = runs_of_other_studies(store, name)
        atomic_files.write_text(store.study(name).cancelled, "launch the study again to go on\n")
        report = CancelReport(silent=_silent(queue), left=left)
        tags = _tags(store, name, ledger, queue)
        for submission in sorted(ledger.submissions_of(name), key=lambda s: s.kind != "relay"):
            jobs = _live_elements(submission, queue)
            _cancel_elements(submission, jobs, ledger, store, tags, wanted, report)
        return report


def cancel_part(store: Store, name: str, slurm: Slurm, part: Collection[str]) -> CancelReport:
    """Cancel the jobs and elements all of whose unfinished runs are of a part; the relay goes on.

    Args:
        part: ids of runs.

    Raises:
        SlurmError: Slurm does not answer.
        StoreError: no such study was launched here.
    """
    with _locked(store, name, slurm) as (ledger, queue, left):
        wanted = runs_of_other_studies(store, name)
        report = CancelReport(silent=_silent(queue), left=left)
        tags = _tags(store, name, ledger, queue)
        for submission in ledger.submissions_of(name):
            packs = ledger.packs(submission)
            chosen: list[Job] = []
            for job in _live_elements(submission, queue):
                runs = packs[job[1]] if job[1] < len(packs) else []
                if not any(run in part for run in runs):
                    continue
                if all(run in part or store.record(run) is not None for run in runs):
                    chosen.append(job)
                else:
                    report.mixed.append(job[2].job)
            _cancel_elements(submission, chosen, ledger, store, tags, wanted, report)
        return report


def cancel_removed(store: Store, name: str, slurm: Slurm, plan: Plan) -> CancelReport:
    """Cancel the jobs whose runs the grid no longer has; the others and the relay go on.

    Raises:
        SlurmError: Slurm does not answer.
        StoreError: no such study was launched here.
    """
    with _locked(store, name, slurm) as (ledger, queue, left):
        report = CancelReport(silent=_silent(queue), left=left)
        by_submission: dict[str, list[Job]] = {}
        for job in removed_jobs(plan, store, name, ledger, queue).jobs:
            by_submission.setdefault(job[0].name, []).append(job)
        tags = _tags(store, name, ledger, queue)
        for jobs in by_submission.values():
            _cancel_elements(jobs[0][0], jobs, ledger, store, tags, set(), report)
        return report


def forget_cluster(store: Store, name: str, slurm: Slurm, cluster: str) -> int:
    """Give up the jobs of a study on a cluster that is gone for good; return their number.

    Raises:
        SlurmError: the cluster answers, or Slurm does not.
        StoreError: no such study was launched here.
    """
    with _locked(store, name, slurm) as (ledger, queue, _):
        gone = [s for s in ledger.submissions_of(name) if s.cluster == cluster and s.closed is None]
        if gone and cluster not in queue.unanswered:
            raise SlurmError(
                f"cluster {cluster} answers, so its jobs are not forgotten; cancel them instead"
            )
        for submission in gone:
            ledger.record_closed(submission, "forgotten")
        return len(gone)


def _waiting(holder: dict[str, Any]) -> None:
    terminal.say(launch_lock.waiting_sentence(holder), stderr=True)


@contextlib.contextmanager
def _locked(
    store: Store, name: str, slurm: Slurm
) -> Iterator[tuple[Ledger, Queue, list[QueueLine]]]:
    """Hold the store's lock; yield the ledger, the queue, and live jobs that are left alone.

    The ledger is without the jobs of a store of which this one is a copy, and without those whose
    names this store never gave.
    """
    check_launched(store, name)
    with launch_lock.held(store, _waiting):
        ledger = read_ledger(store)
        places = misplaced(store, ledger)
        ledger.put_aside(submission.name for submission in places.not_ours)
        open_ones = [s for s in ledger.submissions_of(name) if s.job and s.closed is None]
        queue = with_absent_jobs(read_queues(ledger, slurm), open_ones)
        for submission, job in wrong_numbers(ledger, queue):
            ledger.record_submitted(submission, job, adopted=True)
        foreign = [each for each in places.foreign if each.study == name]
        yield ledger, queue, live_jobs(foreign, queue)


def _tags(store: Store, name: str, ledger: Ledger, queue: Queue) -> dict[str, str]:
    """The tag of the store in the names of jobs that were submitted before it was moved."""
    given = {each.name: given_tag(each, store) for each in ledger.submissions_of(name)}
    before = [each for each in ledger.submissions_of(name) if given[each.name] != store.tag]
    return {each.name: given[each.name] or store.tag for each in proven(before, queue)}


def _cancel_elements(
    submission: Submission, jobs: Collection[Job], ledger: Ledger, store: Store,
    tags: Mapping[str, str], wanted: set[str], report: CancelReport,
) -> None:  # fmt: skip
    """Cancel elements of one submission, after recording it in the ledger."""
    packs = ledger.packs(submission)
    gone: dict[int, QueueLine] = {}
    tag = tags.get(submission.name, store.tag)
    for _, index, line in jobs:
        runs = packs[index] if index < len(packs) else []
        if not (given_tag(submission, store) and is_ours(line, tag)):
            report.left.append(line)
        elif any(run in wanted and store.record(run) is None for run in runs):
            report.kept.append(line.job)
        else:
            gone[index] = line
    if not gone:
        return
    ledger.record_cancelled(submission, gone)
    is_whole = submission.elements is None or len(gone) == submission.elements
    whole = [replace(line, job=line.number) for line in gone.values()]
    cancel_jobs(whole if is_whole else list(gone.values()), tag)
    report.jobs += [line.job for line in gone.values()]


def _live_elements(submission: Submission, queue: Queue) -> list[Job]:
    found = []
    for line in lines_of(queue, submission):
        _, _, index = line.job.partition("_")
        if line.live:
            found.append((submission, int(index or 0), line))
    return sorted(found, key=lambda job: job[1])


def _silent(queue: Queue) -> list[str]:
    return sorted(each or "default" for each in queue.unanswered)
