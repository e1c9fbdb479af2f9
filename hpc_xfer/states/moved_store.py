"""Find submissions whose jobs write to another folder than this store: it was moved, or copied.

    found = misplaced(store, ledger)
    found.moved, found.copied, found.unclear        # submissions

A job is told the path of the store when it is submitted. If the store has been moved since, the job
cannot work; if this store is a copy, its job works for the original and is not ours.
"""

import os
import re
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpc_xfer.slurm.job_names import is_of_store
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states.job_numbers import lines_of
from hpc_xfer.store.paths import tag_of_path
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, job_name, read_ledger
from hpc_xfer.system.screen.plain_text import plain

_OLDER = re.compile(r"[.-]([0-9a-f]{6})\.\d+$")
_NAMED = 3  # jobs and places in a message
_MOST_PATH, _MOST_HOST = 100, 40  # letters of them


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
                f"{len(lines):,} jobs or elements of arrays write to {roots_of(self.moved)}, where "
                "this store was before; a launch cancels them and submits their runs again"
            )
        if lines := live_jobs(self.copied, queue):
            yield (
                f"{len(lines):,} jobs or elements of arrays write to {roots_of(self.copied)}, of "
                "which this store is a copy; they are left to it"
            )
        yield from left_to_you(live_jobs(self.foreign, queue))
        places = sorted({(str(each.root), each.host) for each in self.unclear})
        for root, host in places[:_NAMED]:
            root, host = plain(root, most=_MOST_PATH), plain(host, most=_MOST_HOST)
            yield (
                f"jobs were submitted on {host} with the store at {root}, which this host does not "
                f"have; if the store was moved, launch again on {host}"
            )
        if more := len(places[_NAMED:]):
            yield f"ledgers name {more:,} more such places, which this host does not have"


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


def left_to_you(lines: Collection[QueueLine]) -> Iterator[str]:
    """Say that jobs which the ledger names are left alone; others may have named very many."""
    jobs = list(dict.fromkeys(line.number for line in lines))
    if len(jobs) == 1:
        yield (
            f"job {jobs[0]} is left to you: the ledger names it, but its name is not one that this "
            "store gives to a job; if it is yours to end, scancel it yourself"
        )
    elif jobs:
        more = f" and {len(jobs) - _NAMED:,} more" if len(jobs) > _NAMED else ""
        yield (
            f"jobs {' '.join(jobs[:_NAMED])}{more} are left to you: the ledger names them, but "
            "their names are not such as this store gives to jobs; if they are yours to end, "
            "scancel them yourself"
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


def roots_of(submissions: list[Submission]) -> str:
    """The places at which the jobs of these submissions were told the store is."""
    roots = sorted({str(each.root) for each in submissions})
    shown = plain(roots[0], most=_MOST_PATH)
    return f"{shown} and {len(roots) - 1:,} more places" if roots[1:] else shown
