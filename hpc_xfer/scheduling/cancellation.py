"""Take a study out of the queue, and leave what another study waits for."""

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
    """Job ids (with the index of an element) that were cancelled or left."""

    jobs: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # another study waits for them

    def as_json(self) -> dict[str, Any]:
        return {"schema": 1, "cancelled": self.jobs, "kept_for_others": self.kept}


def cancel(store: Store, name: str) -> CancelReport:
    """Under the store's lock, so that no relay submits anew what is being cancelled.

    Raises:
        SlurmError: Slurm does not answer.
        StoreError: no such study was launched here.
    """
    check_launched(store, name)

    def waiting(holder: dict[str, Any]) -> None:
        print(f"waiting for process {holder.get('pid')}, which launches", file=sys.stderr)

    with launch_lock.held(store, waiting):
        book, queue = read_ledger(store), current_queue()
        wanted = runs_of_other_studies(store, name)
        atomic_files.write_text(store.study(name).cancelled, "launching again begins anew\n")
        done = CancelReport()
        submissions = sorted(book.submissions_of(name), key=lambda s: s.kind != "relay")
        for submission in submissions:
            _one(submission, book, queue, store, wanted, done)
        return done


def _one(
    submission: Submission, book: Ledger, queue: Queue, store: Store, wanted: set[str],
    done: CancelReport,
) -> None:  # fmt: skip
    """The live elements of one submission; the ledger says so before Slurm does it."""
    packs = book.packs(submission)
    gone: dict[int, str] = {}
    for index, job in _live(submission, queue):
        runs = packs[index] if index < len(packs) else []
        if any(run in wanted and store.record(run) is None for run in runs):
            done.kept.append(job)
        else:
            gone[index] = job
    if not gone:
        return
    book.record_cancelled(submission, gone)
    whole = submission.elements is None or len(gone) == submission.elements
    cancel_jobs([str(submission.job)] if whole else list(gone.values()))
    done.jobs += gone.values()


def _live(submission: Submission, queue: Queue) -> Iterator[tuple[int, str]]:
    for index, job in submission.ids():
        line = queue.lines.get(job)
        if line is not None and line.live:
            yield index, job
