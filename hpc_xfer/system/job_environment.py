"""Where a process stands among those that work on one run together."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessRank:
    """Which of how many processes this is, and which start of them."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    attempt: str = "0"  # the same for all ranks of one start

    @classmethod
    def from_slurm(cls) -> "ProcessRank":
        """As the task of a job step is told."""
        env = os.environ
        return cls(
            rank=int(env.get("SLURM_PROCID", "0")),
            size=int(env.get("SLURM_NTASKS", "1")),
            local_rank=int(env.get("SLURM_LOCALID", "0")),
            attempt=f"{env.get('SLURM_JOB_ID', os.getpid())}-{restart_count()}",
        )


def restart_count() -> int:
    """How often Slurm has started this job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def array_index() -> int:
    """Which element of its array this job is."""
    return int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))


def current_job() -> str | None:
    """The Slurm job that this process belongs to: 1234, or 1234_5 for an element of an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def _restarts() -> str:
    """How often Slurm has started this job again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0")
