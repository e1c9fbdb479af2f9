"""Cancel, requeue and release jobs: those of one store alone.

    left = cancel_jobs(lines, store.tag)

Lines of the queue are taken, not numbers: a number may stand in a ledger that others wrote. A job
that has not our user and the name of a job of the store is left alone, and returned.
"""

import re
from collections.abc import Collection

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.commands import chunks, run_with_retries
from hpc_xfer.slurm.job_names import is_of_store
from hpc_xfer.slurm.parsing import QueueLine
from hpc_xfer.slurm.queue import current_user

_NUMBER = re.compile(r"\d+(_\d+)?", re.A)


def is_ours(line: QueueLine, tag: str) -> bool:
    """Tell whether a job is this user's, and named by the store of this tag."""
    is_number = _NUMBER.fullmatch(line.job) is not None
    return is_number and line.user == current_user() and is_of_store(line.name, tag)


def release_jobs(lines: Collection[QueueLine], tag: str) -> list[QueueLine]:
    """Release jobs that Slurm held because their node could not start them; return the others.

    Raises:
        SlurmError: refused.
    """
    for cluster, jobs in _by_cluster(lines, tag).items():
        for some in chunks(jobs):
            run_with_retries(["scontrol", "release", ",".join(some)], cluster)
    return [line for line in lines if not is_ours(line, tag)]


def cancel_jobs(lines: Collection[QueueLine], tag: str) -> list[QueueLine]:
    """Cancel jobs, arrays or elements, and return the others; one that has ended is no error.

    Raises:
        SlurmError: Slurm does not answer.
    """
    for cluster, jobs in _by_cluster(lines, tag).items():
        for some in chunks(jobs):
            run_with_retries(["scancel", "--quiet", *some], cluster)
    return [line for line in lines if not is_ours(line, tag)]


def requeue_this_job(job: str) -> None:
    """Requeue the job in which this process runs, whatever name it was given by hand.

    Args:
        job: as Slurm told this process.

    Raises:
        SlurmError: refused.
    """
    if not _NUMBER.fullmatch(job):
        raise SlurmError(f"{job!r} is not the number of a job; launch again to go on")
    run_with_retries(["scontrol", "requeue", job])


def _by_cluster(lines: Collection[QueueLine], tag: str) -> dict[str | None, list[str]]:
    jobs: dict[str | None, set[str]] = {}
    for line in lines:
        if is_ours(line, tag):
            jobs.setdefault(line.cluster, set()).add(line.job)
    return {cluster: sorted(some) for cluster, some in jobs.items()}
