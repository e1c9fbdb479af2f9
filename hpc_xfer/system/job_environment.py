"""Read who this process is in Slurm: its job, array index, restart count, node and rank."""

import hashlib
import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessRank:
    """Rank of this process among the processes that work on one run together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    attempt: str = "0"  # the same for all ranks of one start

    @classmethod
    def from_slurm(cls) -> "ProcessRank":
        """Read the rank that Slurm gave to this task of a job step."""
        env = os.environ
        return cls(
            rank=int(env.get("SLURM_PROCID", "0")),
            size=int(env.get("SLURM_NTASKS", "1")),
            local_rank=int(env.get("SLURM_LOCALID", "0")),
            attempt=f"{env.get('SLURM_JOB_ID', os.getpid())}-{restart_count()}{_name_digest()}",
        )


def _name_digest() -> str:
    """Tell our job from an earlier one of the same number, whose files may be left."""
    name = current_job_name()
    return "" if name is None else f"-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def current_job() -> str | None:
    """Return the id of our Slurm job: 1234, or 1234_5 for an element of an array.

    Part of the environment may be missing, as in a shell or a container inside a job.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    return os.environ.get("SLURM_JOB_ID") or array or None


def current_job_name() -> str | None:
    """Return the name of our Slurm job; srun gives its tasks that of the batch job."""
    return os.environ.get("SLURM_JOB_NAME") or None if current_job() is not None else None


def array_index() -> int:
    """Return our index in the job array; 0 outside one."""
    return int(os.environ.get("SLURM_ARRAY_TASK_ID") or "0")


def restart_count() -> int:
    """Return how often Slurm has started this job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def node_count() -> int:
    """Return the number of nodes of our job; 1 outside Slurm."""
    return int(os.environ.get("SLURM_NNODES", "1"))


def node_name() -> str:
    """Return Slurm's name of this node, else the host name."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
