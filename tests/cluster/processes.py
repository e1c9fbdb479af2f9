"""Find and end the processes of a cluster: daemons, slurmstepd and jobs."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

MARK = "XFER_CLUSTER"  # in the environment of every daemon and of what slurmd starts
NODE = "XFER_CLUSTER_NODE"
_SECONDS = 30  # to end


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    session: int
    environment: frozenset[str]


def _everything() -> list[_Process]:
    """Return all processes whose environment we may read."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            _, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            found.append(
                _Process(int(folder.name), int(parent), int(session), frozenset(environment))
            )
    return found


def processes_of(root: Path, node: str = "", spare: Collection[int] = ()) -> set[int]:
    """Return the ids of daemons, slurmstepd and jobs: all, or those of a node, without `spare`.

    They are found by their environment, not by ids that were written down: a job has left its
    daemon's session, and an id may be another's by now.
    """
    everything = _everything()
    daemon = {f"{MARK}={root}", *([f"{NODE}={node}"] if node else [])}
    sessions = {p.session for p in everything if daemon <= p.environment} - set(spare)
    found = {p.pid for p in everything if p.session in sessions or _is_job(p, root, node)}
    while more := {p.pid for p in everything if p.parent in found} - found:
        found |= more
    own = os.getpid()
    parents = {p.pid: p.parent for p in everything}
    while own in parents:
        found.discard(own)
        own = parents[own]
    return found


def _is_job(process: _Process, root: Path, node: str) -> bool:
    """A shell of `salloc` is no job: it runs where the user is."""
    if f"SLURM_CONF={root}/slurm.conf" not in process.environment:
        return False
    return any(
        line == f"SLURMD_NODENAME={node}" if node else line.startswith("SLURMD_NODENAME=")
        for line in process.environment
    )


def end(find: Callable[[], set[int]]) -> None:
    """Kill what `find` returns until it returns nothing: some may start others meanwhile."""
    end = time.monotonic() + _SECONDS
    while pids := find():
        if time.monotonic() > end:
            raise ClusterError(f"processes {sorted(pids)} do not end by kill -9")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)  # they are not our children: there is no end to wait for
