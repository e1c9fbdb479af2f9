"""Who owns a thing: numbered files in a folder; the highest number owns it, and a late writer can
tell.

A lease is created by hard link, so exactly one of any number of processes gets a number, on NFS
too (no fcntl); nothing is ever deleted or rewritten by another than its owner, so there is no
window in which two believe that they own a thing after one of them checked (a fencing token).
"""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.errors import ClaimLost
from hpc_xfer.system import atomic_files
from hpc_xfer.system.job_environment import current_job, restart_count

SCHEMA = 1


@dataclass(frozen=True)
class Lease:
    folder: Path
    number: int
    thing: str = "run"  # what it is about, for messages

    @property
    def path(self) -> Path:
        return _path(self.folder, self.number)

    def check(self) -> None:
        """Raises:
        ClaimLost: another process has taken the thing over.
        """
        if _path(self.folder, self.number + 1).exists():
            raise ClaimLost(f"{self.thing}: another process has taken this over")

    def renew(self) -> None:
        """A sign of life, for those on other hosts."""
        self.check()
        os.utime(self.path)

    def release(self) -> None:
        """Let others have it at once, without waiting for signs of our death."""
        content = atomic_files.read_json(self.path)
        if isinstance(content, dict):
            atomic_files.write_json(self.path, content | {"released": True})


@dataclass(frozen=True)
class LeaseFile:
    """A thing that one process at a time may own."""

    folder: Path
    thing: str
    seconds: float  # an owner on another host is dead when nothing moved for so long
    signs: tuple[Path, ...] = ()  # files whose change is a sign of life, besides the lease

    def take(self, **more: Any) -> Lease | None:
        """The lease, or None where somebody who is alive has it.

        Raises:
            StoreError: the folder cannot be written.
        """
        number = last(self.folder)
        if number and self.is_alive():
            return None
        return self._create(number + 1, {**_me(), **more})

    def revoke(self, why: str) -> bool:
        """Take it from an owner who is known to be dead, for nobody yet."""
        content = {**_me(), "released": True, "revoked": why}
        return self._create(last(self.folder) + 1, content) is not None

    def _create(self, number: int, content: Mapping[str, Any]) -> Lease | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lease = Lease(self.folder, number, self.thing)
        text = json.dumps({**content, "attempt": number}, indent=2, sort_keys=True) + "\n"
        return lease if atomic_files.create_exclusively(lease.path, text.encode()) else None

    def holder(self) -> dict[str, Any] | None:
        """The content of the lease in force, released or not."""
        number = last(self.folder)
        content = atomic_files.read_json(_path(self.folder, number)) if number else None
        return content if isinstance(content, dict) else None

    def history(self) -> list[dict[str, Any]]:
        """All leases there ever were, the first first."""
        found = (
            atomic_files.read_json(_path(self.folder, n)) for n in range(1, last(self.folder) + 1)
        )
        return [content for content in found if isinstance(content, dict)]

    def is_alive(self) -> bool:
        """Whether the owner lives: its process on this host, else a fresh sign of life."""
        holder = self.holder()
        if holder is None or holder.get("released") or _is_our_last_start(holder):
            return False
        if holder["host"] == socket.gethostname() and holder["process_started"] is not None:
            started = _process_started(holder["pid"])
            if started is not None or not _is_another_users(holder["pid"]):
                return bool(started == holder["process_started"])
        return time.time() - self._last_sign() < self.seconds

    def _last_sign(self) -> float:
        signs: Sequence[Path] = [_path(self.folder, last(self.folder)), *self.signs]
        return max((path.stat().st_mtime for path in signs if path.exists()), default=0.0)


def last(folder: Path) -> int:
    """The highest number there is, 0 for none."""
    return max((int(p.stem) for p in folder.glob("[0-9]*.json") if p.stem.isdigit()), default=0)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.json"


def _is_our_last_start(holder: dict[str, Any]) -> bool:
    """Slurm requeued this very job; it ends the processes of one start before the next."""
    mine = current_job()
    starts = str(restart_count())
    return mine is not None and holder["slurm_job"] == mine and holder["restarts"] != starts


def _me() -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": _process_started(os.getpid()),
        "slurm_job": current_job(),
        "restarts": str(restart_count()),
        "time": time.time(),
    }


def _is_another_users(pid: int) -> bool:
    """Whether there is such a process, of which /proc may tell us nothing (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _process_started(pid: int) -> str | None:
    """A mark of this very process (ids are used again), None where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started
