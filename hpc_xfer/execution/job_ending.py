"""Decide how a job ends, once its worker has ended."""

from dataclasses import dataclass
from typing import Literal

from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.store.retry_policy import is_retried

STOPPED_EXIT_CODE = 86
HELD_EXIT_CODE = 87

Ending = Literal["finished", "failed", "time limit", "requeue", "stopped", "held"]
EXIT_CODES: dict[Ending, int] = {
    "finished": 0,
    "failed": 1,
    "time limit": 1,
    "requeue": REQUEUE_EXIT_CODE,
    "stopped": STOPPED_EXIT_CODE,  # Slurm requeues what it preempts, nobody what was cancelled
    "held": HELD_EXIT_CODE,  # nothing failed: another process executes the runs
}


@dataclass(frozen=True)
class JobFacts:
    """Facts that decide how a job ends."""

    unfinished: bool  # a run of the pack has no record
    held: bool = False  # a living process elsewhere works on each run that has no record
    time_is_up: bool = False
    told_to_stop: bool = False
    progressed: bool = False  # a run is further than when this start of the job began
    failures: frozenset[str] = frozenset()  # classes, of the unfinished runs in this job
    exhausted: bool = False  # the job was started as often as the site allows
    gpu_is_broken: bool = False  # a requeued job may get the same GPU again; a new job avoids it


def decide(facts: JobFacts) -> Ending:
    """Return how the job ends."""
    if not facts.unfinished:
        return "finished"
    if facts.held:
        return "held"
    if facts.time_is_up:
        return "requeue" if facts.progressed else "time limit"
    if facts.told_to_stop:
        return "stopped"
    return after_failure(facts)


def after_failure(facts: JobFacts) -> Ending:
    """Requeue after an accident, as often as the site allows, and always after progress.

    Where the GPU is broken the job ends: the relay submits another one, which leaves bad nodes out.
    """
    if facts.gpu_is_broken:
        return "failed"
    is_accident = any(is_retried(failure, by="job") for failure in facts.failures)
    may_retry = facts.progressed or not facts.exhausted
    return "requeue" if is_accident and may_retry else "failed"
