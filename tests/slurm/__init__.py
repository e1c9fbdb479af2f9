"""Settings, and a job, that the tests of Slurm share."""

from pathlib import Path

from hpc_xfer.config.site import RelayPlace, Slurm
from hpc_xfer.slurm.request import Request

CPU = Slurm(gpu_option="none", relay=RelayPlace(memory=None))


def pretraining(tasks: int) -> Request:
    return Request(
        "pre.clip.study.c0ffee.1", ("python", "a b.py"), Path("/a store/logs"), 65.2, tasks
    )
