"""Where a process stands among those of its Slurm job."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where this process stands, as Slurm tells it."""

    rank: int
    size: int
    local_rank: int
    index: int  # of the array
    attempt: str

    @classmethod
    def from_slurm(cls) -> "Place":
        env = os.environ
        return cls(
            rank=int(env.get("SLURM_PROCID", "0")),
            size=int(env.get("SLURM_NTASKS", "1")),
            local_rank=int(env.get("SLURM_LOCALID", "0")),
            index=int(env.get("SLURM_ARRAY_TASK_ID", "0")),
            attempt=f"{env.get('SLURM_JOB_ID', os.getpid())}-{env.get('SLURM_RESTART_COUNT', '0')}",
        )

    @property
    def restarts(self) -> int:
        return int(os.environ.get("SLURM_RESTART_COUNT", "0"))
