"""Measure /dev/shm, through which the loading processes hand over their batches.

room = shared_memory()
room.free < needed        # containers have 64 MB unless they are started with more
"""

import os
from dataclasses import dataclass

from hpc_xfer.system import terminal

FOLDER = "/dev/shm"
WAY_OUT = (
    "start the container with more (docker --shm-size=16g; with apptainer, bind the host's "
    "/dev/shm), lower the batch per GPU, or set `workers: 0` in the resources"
)


@dataclass(frozen=True)
class SharedMemory:
    """Bytes of a file system in memory."""

    total: int
    free: int  # for this user


def shared_memory(folder: str = FOLDER) -> SharedMemory | None:
    """Measure the shared memory of this machine; None where it has none."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return SharedMemory(found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail)


def in_words(folder: str = FOLDER) -> str:
    """Say how much there is: `/dev/shm has 64 MB, 3 MB of them free`."""
    room = shared_memory(folder)
    if room is None:
        return f"{folder} is missing"
    return f"{folder} has {terminal.size(room.total)}, {terminal.size(room.free)} of them free"
