"""Find how much memory this process may use: the limit of its job or container, else what is free.

memory_limit()       # bytes, shared by all processes of the job on this node
"""

import os
from collections.abc import Iterator
from pathlib import Path

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
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in kinds.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        # The path may be that outside the container, where nothing is mounted here.
        for folder in dict.fromkeys((*(each for each in (group, *group.parents)), top)):
            if folder != top and top not in folder.parents:
                continue
            limit = _text(folder / name).strip()
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
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
