"""The retry policy: one row per class of failure. To add a class or a rule, edit this table.

    is_retried("hung", by="relay")     # True
    memory_per_gpu(1, site.slurm)      # after one failure twice the site's, up to its maximum

Status, relay, launch and the supervisor inside a job ask it. It counts nothing itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hpc_xfer.config.site import Slurm

# job: the supervisor requeues its own job, which goes on from the last checkpoint.
# relay: the relay job submits a new job.
# launch: a person launches the study again.
# all: a person launches it with --retry-failed.
Retrier = Literal["job", "relay", "launch", "all"]
_RETRIERS: tuple[Retrier, ...] = ("job", "relay", "launch", "all")


@dataclass(frozen=True)
class RetryRule:
    """One row: who retries a class of failure, with what change, and what users read."""

    first_retrier: Retrier  # retries it; so do those after it in the list above
    meaning: str  # the sentence that users read
    doubles_memory: bool = False  # the next job asks for twice the memory
    doubles_minutes: bool = False  # the next job asks for twice the time
    counts_against_node: bool = False  # a node with `bad_node_hits` of these is excluded
    excludes_at_once: bool = False  # one is enough: the next job there would fail within seconds


SILENT = "silent"
RULES: dict[str, RetryRule] = {
    "out of memory": RetryRule(
        "relay", "the node's memory; more memory_per_gpu helps, or fewer workers",
        doubles_memory=True,
    ),
    "CUDA out of memory": RetryRule(
        "launch", "the GPU's memory; more GPUs per run help, or a smaller batch"
    ),
    # Not against the node: a small /dev/shm is a setting of the container, the same on all nodes.
    # Nor more memory: it gives a container no larger /dev/shm.
    "shared memory": RetryRule(
        "relay", "/dev/shm is small or full; a container with more of it or a smaller batch helps"
    ),
    "time limit": RetryRule(
        "relay", "the time ended before the next step; more minutes help", doubles_minutes=True
    ),
    "node failure": RetryRule("relay", "the node went down", counts_against_node=True),
    "preempted": RetryRule("relay", "a job of higher priority took the node"),
    "hung": RetryRule(
        "job", "no sign of life; the process was killed", counts_against_node=True
    ),
    "killed": RetryRule(
        "job", "the process was killed from outside, or crashed in a library",
        counts_against_node=True,
    ),
    SILENT: RetryRule(
        "launch", "two workers ended before they reported anything; the log says why",
        counts_against_node=True,
    ),
    "gpu": RetryRule(
        "job", "the GPU or its driver failed; the process ended", counts_against_node=True
    ),
    "no gpu": RetryRule(
        "relay", "a GPU was given and torch could not use it; nothing ran on the CPU instead",
        counts_against_node=True, excludes_at_once=True,
    ),
    "store": RetryRule("job", "the store could not be written or read"),
    "nan": RetryRule("all", "the loss was not finite; a lower learning rate helps"),
    "data": RetryRule("all", "the data is missing, broken, or not what the recipe asks for"),
    "code": RetryRule("all", "an error in the program"),
}  # fmt: skip
MEMORY_FAILURES = frozenset(kind for kind, rule in RULES.items() if rule.doubles_memory)
_UNKNOWN = RetryRule("all", "")  # a class that another version wrote
_MOST_DOUBLINGS = 5  # of minutes; the site's max_minutes limits them too
_LOST: Retrier = "relay"  # first retrier of a run whose job ended without a word
RELAY_RESTARTS = 20  # of a relay that Slurm or the store keeps from its work


def rule_of(kind: str) -> RetryRule:
    """The row of a class of failure; an unknown class has no meaning and is not retried."""
    return RULES.get(kind, _UNKNOWN)


def is_retried(kind: str, by: Retrier, lost: bool = False) -> bool:
    """Tell whether a retrier tries a run again after a failure of this class.

    Args:
        lost: the job left no word of the failure; `kind` is how Slurm calls its end.
    """
    first = _LOST if lost else rule_of(kind).first_retrier
    return _RETRIERS.index(by) >= _RETRIERS.index(first)


def is_exhausted(attempts: int, slurm: Slurm) -> bool:
    """Tell whether a job or the relay gives up after so many attempts without progress."""
    return attempts > slurm.retries


def memory_failures(kinds: Iterable[str]) -> int:
    """Count the failures after which the next job asks for more memory."""
    return sum(kind in MEMORY_FAILURES for kind in kinds)


def minutes_factor(kinds: Iterable[str]) -> int:
    """Factor on the minutes of a job after these failures: twice as many after each."""
    return 1 << min(_MOST_DOUBLINGS, sum(rule_of(kind).doubles_minutes for kind in kinds))


def memory_per_gpu(failures: int, slurm: Slurm) -> float | None:
    """GB for the job after so many memory failures; None for the site's own value."""
    if not failures or slurm.max_memory_per_gpu is None or slurm.memory_per_gpu is None:
        return None
    return min(slurm.memory_per_gpu * 2.0**failures, slurm.max_memory_per_gpu)


def is_memory_exhausted(failures: int, slurm: Slurm) -> bool:
    """Tell whether the job after so many memory failures gets no more than the one before."""
    before = memory_per_gpu(failures - 1, slurm) or slurm.memory_per_gpu or 0
    return failures > 0 and (memory_per_gpu(failures, slurm) or 0) <= before
