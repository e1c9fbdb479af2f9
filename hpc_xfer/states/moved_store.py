"""Find submissions whose jobs write to another folder than this store: it was moved, or copied.

    found = misplaced(store, ledger)
    found.moved, found.copied, found.unclear        # submissions

A job is told the path of the store when it is submitted. If the store has been moved since, the job
cannot work; if this store is a copy, its job works for the original and is not ours.
"""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpc_xfer.slurm.job_names import is_of_store
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states.job_numbers import lines_of
from hpc_xfer.store.paths import tag_of_path
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, job_name, read_ledger

_OLDER = re.compile(r"[.-]([0-9a-f]{6})\.\d+$")


@dataclass
class Misplaced:
    """Submissions whose jobs were told another path than that of this store."""

    moved: list[Submission] = field(default_factory=list)  # the store is no longer there
    copied: list[Submission] = field(default_factory=list)  # the original store is still there
    unclear: list[Submission] = field(default_factory=list)  # told on hosts with other mounts
    foreign: list[Submission] = field(default_factory=list)  # not with a name of this store

    @property
    def not_ours(self) -> list[Submission]:
        """Submissions whose jobs are left alone."""
        return [*self.copied, *self.foreign]

    def sentences(self, queue: Queue) -> Iterator[str]:
        """Lines on jobs in the queue that do not write to this store, or perhaps do not."""
        if lines := live_jobs(self.moved, queue):
            yield (
                f"{len(lines):,} jobs or elements of arrays write to {_roots(self.moved)}, where "
                "this store was before; a launch cancels them and submits their runs again"
            )
        if lines := live_jobs(self.copied, queue):
            yield (
                f"{len(lines):,} jobs or elements of arrays write to {_roots(self.copied)}, of "
                "which this store is a copy; they are left to it"
            )
        for line in live_jobs(self.foreign, queue):
            yield left_to_you(line)
        for root, host in sorted({(str(each.root), each.host) for each in self.unclear}):
            yield (
                f"jobs were submitted on {host} with the store at {root}, which this host does not "
                f"have; if the store was moved, launch again on {host}"
            )


def misplaced(store: Store, ledger: Ledger) -> Misplaced:
    """Sort out the submissions that hold a job and were told another path."""
    found = Misplaced()
    by_root: dict[str, list[Submission]] = {}
    for submission in ledger.submissions.values():
        if submission.closed is None and given_tag(submission, store) is None:
            found.foreign.append(submission)
        elif submission.root is not None:
            by_root.setdefault(submission.root, []).append(submission)
    for root, submissions in by_root.items():
        if all(submission.closed for submission in submissions):
            continue
        if _is_same(Path(root), store.root):
            continue
        original = _original(Path(root))
        # A relay submits from a node, with the path that a launch told it.
        was_here = any(submission.host == socket.gethostname() for submission in submissions)
        for submission in (each for each in submissions if each.closed is None):
            if submission.name in original:
                found.copied.append(submission)
            elif was_here:
                found.moved.append(submission)
            else:
                found.unclear.append(submission)
    return found


def given_tag(submission: Submission, store: Store) -> str | None:
    """The tag in the name of a job, if this store gives it, or gave it where it was before.

    A store in which version 0.1 launched may have been moved since: its lines name no place.
    """
    study, tags = job_name(submission.study), [store.tag]
    if submission.root is not None and submission.root != str(store.root):
        before = Path(submission.root)
        # A link may lie there now: the name has the tag of the folder that was there.
        tags += [tag_of_path(before.parent.resolve() / before.name), Store(before).tag]
    elif submission.root is None and (older := _OLDER.search(submission.name)):
        tags.append(older[1])
    return next((tag for tag in tags if is_of_store(submission.name, tag, study)), None)


def left_to_you(line: QueueLine) -> str:
    """Say that a job which the ledger names is left alone."""
    return (
        f"job {line.job} is left to you: the ledger names it, but its name is not one that this "
        "store gives to a job; if it is yours to end, scancel it yourself"
    )


def _is_same(root: Path, here: Path) -> bool:
    if str(root) == str(here):
        return True
    try:
        return os.path.samefile(root, here)
    except OSError:
        return False


def _original(root: Path) -> set[str]:
    """Job names in the ledger of the store at `root`; empty where there is none."""
    return set(read_ledger(Store(root)).submissions)


def live_jobs(submissions: list[Submission], queue: Queue) -> list[QueueLine]:
    """The jobs and elements of these submissions that are in the queue."""
    lines = (line for each in submissions for line in lines_of(queue, each))
    return [line for line in lines if line.live]


def _roots(submissions: list[Submission]) -> str:
    return ", ".join(sorted({str(each.root) for each in submissions}))
