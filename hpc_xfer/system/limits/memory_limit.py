"""Find how much memory this process may use: the limit of its job or container, else what is free.

memory_limit()       # bytes, shared by all processes of the job on this node
"""

import os
from collections.abc import Iterator
from pathlib import Path

from hpc_xfer.system.limits.control_groups import control_groups, text_of

_FILES = {1: "memory.limit_in_bytes", 2: "memory.max"}  # by version
_UNLIMITED = 1 << 60  # version 1 writes a number near 2**63 where there is no limit
_MEGABYTE = 1 << 20


def memory_limit(root: Path = Path("/")) -> int | None:
    """The least of the limits of this process's control groups, of Slurm and of the machine.

    None where nothing tells it.

    Args:
        root: of the file system; another one in tests.
    """
    return min((*_of_groups(root), *_of_slurm(), *_of_machine(root)), default=None)


def _of_groups(root: Path) -> Iterator[int]:
    """Yield the limit of each control group around this process, version 1 and 2."""
    for folder, version in control_groups("memory", root):
        limit = text_of(folder / _FILES[version]).strip()
        if limit.isdigit() and int(limit) < _UNLIMITED:
            yield int(limit)


def _of_slurm() -> Iterator[int]:
    """Yield what Slurm gave the job on this node; some clusters do not confine it to that."""
    whole, per_cpu = os.environ.get("SLURM_MEM_PER_NODE"), os.environ.get("SLURM_MEM_PER_CPU")
    if whole and whole.isdigit() and int(whole):  # 0: all memory of the node
        yield int(whole) * _MEGABYTE
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "")
    if per_cpu and per_cpu.isdigit() and cpus.isdigit():
        yield int(per_cpu) * int(cpus) * _MEGABYTE


def _of_machine(root: Path) -> Iterator[int]:
    """Yield what is free; on a login node or a laptop others use a part."""
    for line in text_of(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])
