"""Cancel the jobs of a study, except those that another study waits for."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import current_queue
from hpc_xfer.store import launch_lock
from hpc_xfer.store.launched_study import check_launched, runs_of_other_studies
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, read_ledger
from hpc_xfer.system import atomic_files


@dataclass
class CancelReport:
    """Ids of jobs and elements that were cancelled or left."""

    jobs: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # another study waits for them

    def as_json(self) -> dict[str, Any]:
        return {"schema": 1, "cancelled": self.jobs, "kept_for_others": self.kept}


def cancel(store: Store, name: str) -> CancelReport:
    """Cancel the jobs of a study, under the store's lock: no relay submits them again meanwhile.

    Raises:
        SlurmError: Slurm does not answer.
        StoreError: no such study was launched here.
    """
    check_launched(store, name)

    def waiting(holder: dict[str, Any]) -> None:
        process, host = holder.get("pid"), holder.get("host")
        message = f"another launch is in progress (process {process} on {host}); waiting"
        print(message, file=sys.stderr)

    with launch_lock.held(store, waiting):
        ledger, queue = read_ledger(store), current_queue()
        wanted = runs_of_other_studies(store, name)
        atomic_files.write_text(store.study(name).cancelled, "launch the study again to go on\n")
        report = CancelReport()
        submissions = sorted(ledger.submissions_of(name), key=lambda s: s.kind != "relay")
        for submission in submissions:
            _cancel_submission(submission, ledger, queue, store, wanted, report)
        return report


def _cancel_submission(
    submission: Submission, ledger: Ledger, queue: Queue, store: Store, wanted: set[str],
    report: CancelReport,
) -> None:  # fmt: skip
    """Cancel the live elements of one submission, after recording it in the ledger."""
    packs = ledger.packs(submission)
    gone: dict[int, str] = {}
    for index, job in _live_elements(submission, queue):
        runs = packs[index] if index < len(packs) else []
        if any(run in wanted and store.record(run) is None for run in runs):
            report.kept.append(job)
        else:
            gone[index] = job
    if not gone:
        return
    ledger.record_cancelled(submission, gone)
    is_whole = submission.elements is None or len(gone) == submission.elements
    cancel_jobs([str(submission.job)] if is_whole else list(gone.values()))
    report.jobs += gone.values()


def _live_elements(submission: Submission, queue: Queue) -> Iterator[tuple[int, str]]:
    for index, job in submission.ids():
        line = queue.lines.get(job)
        if line is not None and line.live:
            yield index, job
