"""Cancel, requeue and release jobs."""

from collections.abc import Collection

from hpc_xfer.slurm.commands import chunks, run_with_retries


def release_jobs(jobs: Collection[str], cluster: str | None = None) -> None:
    """Release jobs that Slurm held because their node could not start them.

    Raises:
        SlurmError: refused.
    """
    for some in chunks(sorted(jobs)):
        run_with_retries(["scontrol", "release", ",".join(some)], cluster)


def cancel_jobs(jobs: Collection[str], cluster: str | None = None) -> None:
    """Cancel jobs, arrays or elements; one that has ended is no error.

    Raises:
        SlurmError: Slurm does not answer.
    """
    for some in chunks(sorted(jobs)):
        run_with_retries(["scancel", "--quiet", *some], cluster)


def requeue_jobs(jobs: Collection[str], cluster: str | None = None) -> None:
    """Requeue running jobs.

    Raises:
        SlurmError: refused.
    """
    for some in chunks(sorted(jobs)):
        run_with_retries(["scontrol", "requeue", ",".join(some)], cluster)
