"""Read who this process is: its job, array index, restart count, node, rank and its share of it."""

import hashlib
import os
import socket
from dataclasses import dataclass

from hpc_xfer.system import machine, memory_limit

_PLACES = "HPC_XFER_PLACES"  # GPUs (else processes) of a launch on this machine
_PER_PLACE = "HPC_XFER_PER_PLACE"  # fine-tunings that share a GPU, and its cores and memory


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


def share_variables(places: int | None = None, per_place: int = 1) -> dict[str, str]:
    """Variables that tell a process how many others share the machine or the Slurm task with it.

    Args:
        places: GPUs (else processes) among which this machine is divided; None in a Slurm task.
        per_place: processes that share each.
    """
    found = {} if places is None else {_PLACES: str(places)}
    return found | {_PER_PLACE: str(per_place)}


def own_cores(shares_place: bool = False) -> int:
    """Count the cores that this process has to itself, at least one.

    Args:
        shares_place: a fine-tuning, of which several may share a GPU.
    """
    cores, cpus = machine.cores(), os.environ.get("SLURM_CPUS_PER_TASK", "")
    if _PLACES not in os.environ and cpus.isdigit():  # without binding, a task may use all cores
        cores = min(cores, int(cpus))
    return max(1, cores // _sharing(shares_place))


def own_memory() -> float | None:
    """Bytes of memory that a fine-tuning process has to itself; None where nothing tells it."""
    limit = memory_limit.memory_limit()
    return None if limit is None else limit / _sharing(shares_place=True)


def _sharing(shares_place: bool) -> int:
    names = (_PLACES, _PER_PLACE) if shares_place else (_PLACES,)
    product = 1
    for name in names:
        product *= int(os.environ.get(name, "1"))
    return product


def node_count() -> int:
    """Return the number of nodes of our job; 1 outside Slurm."""
    return int(os.environ.get("SLURM_NNODES", "1"))


def node_name() -> str:
    """Return Slurm's name of this node, else the host name."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
