"""Find a process's share of the machine, and choose what it makes of it: loaders, kept images.

workers = loading_processes(own_cores(), has_gpu=True)
room = kept_bytes(own_memory())
"""

import os

from hpc_xfer.system import machine
from hpc_xfer.system.limits import memory_limit

_PLACES = "HPC_XFER_PLACES"  # GPUs (else processes) of a launch on this machine
_PER_PLACE = "HPC_XFER_PER_PLACE"  # fine-tunings that share a GPU, and its cores and memory
_MOST_LOADERS = 8
_LOADERS_BESIDE_AN_ENCODER = 2  # at most, without a GPU
_KEPT_SHARE = 1 / 16  # of the memory, for one image set; a process keeps some four of any size
_LEAST_KEPT = 1 << 28  # bytes: 10,000 images of 32 px, 1,700 of 224 px
_MOST_KEPT = 8 << 30  # bytes: 57,000 images of 224 px, more than a validation set of ImageNet


def loading_processes(cores: int, has_gpu: bool, threads: int = 1) -> int:
    """The number of loading processes where `workers` is null; it changes no number.

    With a GPU, all cores but those of its threads, which start the GPU's work. Without one the
    encoder itself needs the cores, and a step takes so long that one or two processes load the next
    batch meanwhile; there is always one, since a read from a network file system would stop it.

    Args:
        cores: of the process.
        threads: of torch in the process itself.
    """
    if has_gpu:
        return min(_MOST_LOADERS, max(1, cores - threads))
    return min(_LOADERS_BESIDE_AN_ENCODER, max(1, cores - threads))


def kept_bytes(memory: float | None) -> int:
    """Bytes of the decoded images of a data set that stay in memory.

    Args:
        memory: bytes that the process may use; None where it is unknown.
    """
    return int(min(_MOST_KEPT, max(_LEAST_KEPT, (memory or 0.0) * _KEPT_SHARE)))


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
