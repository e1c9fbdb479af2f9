"""Hand batches over in shared memory where an error can be told.

A queue of multiprocessing pickles in a thread of its own and drops what it cannot pickle: a tensor
that found no room in /dev/shm would be lost without a word, and everybody would wait for it. So a
loading process puts its tensors there before they enter the queue.
"""

import errno
import multiprocessing
import os
import resource
import tempfile
from multiprocessing.reduction import DupFd

import torch

from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.errors import SharedMemoryFull
from hpc_xfer.study.loader_memory import shared_memory_needed
from hpc_xfer.system import terminal
from hpc_xfer.system.limits import shared_memory

_SEMAPHORES_EACH = 4  # of a loading process: its queue, its results and events
_OPEN_FILES = 65_536  # enough; some programs close every number below the limit when they start
# What sem_open raises for a /dev/shm that is full, read-only, not ours, or not there.
_NO_SEMAPHORES = (
    errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOSYS,
)  # fmt: skip


def raise_limit_of_open_files() -> None:
    """Raise the soft limit as far as users may: each tensor that waits is an open file.

    The loading processes inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def check_semaphores(workers: int) -> None:
    """Make and drop as many semaphores as so many loading processes need; they lie in /dev/shm.

    Raises:
        SharedMemoryFull: they cannot be made.
    """
    made = []
    try:
        for _ in range(_SEMAPHORES_EACH * (workers + 1)):
            made.append(multiprocessing.Semaphore())
    except OSError as error:
        if error.errno not in _NO_SEMAPHORES:
            raise
        raise SharedMemoryFull(
            f"the loading processes cannot start: {shared_memory.in_words()} ({error.strerror}); "
            f"{shared_memory.WAY_OUT}"
        ) from error


def check_sockets() -> None:
    """Start the thread that hands over files; in the thread of a queue an error would be lost.

    Raises:
        SharedMemoryFull: there is no room for its socket.
    """
    ends = list(os.pipe())
    try:
        ends.append(DupFd(ends[0]).detach())
    except OSError as error:
        raise SharedMemoryFull(
            "the loading processes cannot hand over their batches: no socket can be made in "
            f"{tempfile.gettempdir()} ({error.strerror}); make room there, or set TMPDIR to a "
            "folder of the node that has some"
        ) from error
    finally:
        for end in ends:
            os.close(end)


def shared(piece: Batch, workers: int) -> Batch:
    """Move the tensors of a piece to shared memory, where the queue finds them.

    Args:
        workers: pieces of a batch; the message tells what a batch needs.

    Raises:
        SharedMemoryFull: there is no room for them.
    """
    tensors = [value for value in piece.values() if isinstance(value, torch.Tensor)]
    try:
        for tensor in tensors:
            tensor.share_memory_()
    except (RuntimeError, OSError) as error:
        raise SharedMemoryFull(_told(tensors, workers, str(error))) from error
    return piece


def _told(tensors: list[torch.Tensor], workers: int, cause: str) -> str:
    begin = "the loading processes cannot hand over their batches"
    if os.strerror(errno.EMFILE) in cause:
        return f"{begin}: too many open files; raise the hard limit of `ulimit -n`"
    batch = workers * sum(tensor.nbytes for tensor in tensors)
    needed = shared_memory_needed(1, workers, batch)
    return (
        f"{begin}: {shared_memory.in_words()}, and this process needs about "
        f"{terminal.size(needed)} for batches of {terminal.size(batch)}; {shared_memory.WAY_OUT}"
    )
