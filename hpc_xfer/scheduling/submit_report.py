"""Result of one submission pass, for people and for scripts."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpc_xfer.store.submission_ledger import Submission
from hpc_xfer.system.terminal import counted

_NAMED = 5  # runs; thousands may fail for one reason


def failed_before(given_up: Mapping[str, str]) -> Iterator[str]:
    """Lines on runs that failed in an earlier launch and are not tried again.

    Args:
        given_up: run id -> why.
    """
    for run_id, why in itertools.islice(given_up.items(), _NAMED):
        yield f"left out: {run_id} failed before ({why}); add --retry-failed to run it again"
    if (more := len(given_up) - _NAMED) > 0:
        yield f"left out: {more:,} more that failed before; `status` counts them by class"


@dataclass
class SubmitReport:
    """Result of one submission pass."""

    submitted: list[tuple[Submission, int]] = field(default_factory=list)  # with its number of runs
    live: int = 0  # runs that were in the queue already
    deferred: int = 0  # runs that do not fit into the queue now
    behind_others: int = 0  # runs whose parent is at work in a process outside the study's jobs
    given_up: dict[str, str] = field(default_factory=dict)  # run id -> why
    refused: dict[str, str] = field(default_factory=dict)  # run id -> answer of Slurm
    blocked: int = 0  # runs whose parent was given up or refused
    relay: str | None = None  # job id
    relay_error: str = ""  # why there is no relay
    notes: list[str] = field(default_factory=list)  # on jobs of earlier launches
    queue_full_message: str = ""  # answer of Slurm when the queue was full
    excluded: tuple[str, ...] = ()  # nodes on which too many jobs failed

    @property
    def runs(self) -> int:
        return sum(count for _, count in self.submitted)

    @property
    def elements(self) -> int:
        return sum(submission.elements or 1 for submission, _ in self.submitted)

    def as_json(self) -> dict[str, Any]:
        return {
            "submitted": {
                "jobs": len(self.submitted), "elements": self.elements, "runs": self.runs,
            },
            "in_queue": self.live, "waiting_for_room": self.deferred,
            "behind_other_processes": self.behind_others, "given_up": self.given_up,
            "refused": self.refused, "blocked": self.blocked, "relay": self.relay,
            "relay_error": self.relay_error, "excluded_nodes": self.excluded, "notes": self.notes,
        }  # fmt: skip

    def sentences(self, study: str, jobs_may_submit: bool) -> Iterator[str]:
        """Lines for people, with what to do next.

        Args:
            study: the arguments of a command on this study.
        """
        yield (
            f"submitted {counted(self.runs, 'run')}: {counted(len(self.submitted), 'job')} with "
            f"{counted(self.elements, 'element')}; {counted(self.live, 'run')} "
            f"{'was' if self.live == 1 else 'were'} in the queue or at work already"
        )
        yield from failed_before(self.given_up)
        yield from self.troubles()
        later = "the relay submits what is left later" if jobs_may_submit else "launch again later"
        if self.deferred:
            do = "does" if self.deferred == 1 else "do"
            yield f"{counted(self.deferred, 'run')} {do} not fit into the queue yet; {later}"
        if self.behind_others:
            yield (
                f"{counted(self.behind_others, 'run')} "
                f"{'waits' if self.behind_others == 1 else 'wait'} for a pre-training that is at "
                f"work outside the jobs that squeue shows; {later}"
            )
        if not jobs_may_submit:
            yield (
                "jobs may not submit jobs here: when these have ended, launch again for what "
                "is left; the relay only collects"
            )
        yield from self.notes
        if self.relay:
            yield f"relay: job {self.relay}"
        yield f"next: python -m hpc_xfer.status {study}"
        yield from self.without_relay()

    def without_relay(self) -> Iterator[str]:
        """The last line where jobs are in the queue and no relay is."""
        if self.relay_error:
            yield (
                f"no relay is in the queue ({self.relay_error}): jobs that are there run, but "
                "nothing retries what fails, submits what is left, or collects; launch again once "
                "that is mended (slurm.relay in the site file has the relay's options)"
            )

    def sentences_of_relay(self) -> Iterator[str]:
        """Lines for the log of the relay job."""
        yield (
            f"submitted {counted(self.runs, 'run')} in {counted(len(self.submitted), 'job')}; "
            f"{self.live:,} were in the queue or at work; {self.deferred:,} wait for room, "
            f"{self.behind_others:,} for other processes; {len(self.given_up):,} given up, "
            f"{self.blocked:,} behind them"
        )
        for run_id, why in self.given_up.items():
            yield f"given up: {run_id}: {why}"
        yield from self.troubles()
        yield from self.notes
        if self.queue_full_message:
            yield self.queue_full_message
        if self.relay:
            yield f"next relay: job {self.relay}"

    def troubles(self) -> Iterator[str]:
        """Lines on runs that Slurm refused, and on excluded nodes."""
        by_answer: dict[str, list[str]] = {}
        for run_id, why in self.refused.items():
            by_answer.setdefault(why, []).append(run_id)
        for why, runs in by_answer.items():
            more = f" and {len(runs) - _NAMED:,} more runs" if len(runs) > _NAMED else ""
            yield f"left out: {' '.join(runs[:_NAMED])}{more}: {why}"
        if self.excluded:
            yield f"nodes excluded because jobs failed there: {', '.join(self.excluded)}"

    @property
    def is_finished(self) -> bool:
        """Nothing is in the queue, and nothing is left to submit."""
        return not (self.submitted or self.live or self.deferred or self.behind_others)
