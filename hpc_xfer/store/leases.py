"""Leases: numbered files in a folder, one folder per object (a run, the launch lock).

The process that holds the highest number owns the object.

A lease is created by a hard link, so exactly one of many processes gets a number, on NFS too (no
fcntl). Only its owner ever rewrites it, and nothing is deleted. So the number is a fencing token:
a late writer checks it and finds that another process has taken over.

Leases are written without fsync: a crash of the host ends their owners too, and a lease that is
empty afterwards belongs to nobody.
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
    """One numbered file, held by this process."""

    folder: Path
    number: int
    thing: str = "run"  # what is owned, for messages

    @property
    def path(self) -> Path:
        return _path(self.folder, self.number)

    def check(self) -> None:
        """Check that the lease is still in force.

        Raises:
            ClaimLost: another process has taken over.
        """
        if _path(self.folder, self.number + 1).exists():
            raise ClaimLost(f"{self.thing}: another process has taken this over")

    def renew(self) -> None:
        """Show processes on other hosts that the owner is alive."""
        self.check()
        os.utime(self.path)

    def release(self) -> None:
        """Free it for others at once, before the time runs out."""
        content = atomic_files.read_json(self.path)
        if isinstance(content, dict):
            atomic_files.write_json(self.path, content | {"released": True}, durable=False)


@dataclass(frozen=True)
class LeaseFolder:
    """The leases of one thing, which one process at a time may own."""

    folder: Path
    thing: str
    seconds: float  # an owner on another host counts as dead after this long without a sign
    signs: tuple[Path, ...] = ()  # files whose change is a sign of life, beside the lease

    def take(self, **more: Any) -> Lease | None:
        """Create the next lease; None where a living process owns the thing.

        Raises:
            StoreError: the folder cannot be written.
        """
        number = latest_number(self.folder)
        if number and self.is_alive():
            return None
        return self._create(number + 1, {**_this_process(), **more})

    def revoke(self, why: str) -> bool:
        """Take it away from an owner that is known to be dead; it is free then."""
        content = {**_this_process(), "released": True, "revoked": why}
        return self._create(latest_number(self.folder) + 1, content) is not None

    def _create(self, number: int, content: Mapping[str, Any]) -> Lease | None:
        lease = Lease(self.folder, number, self.thing)
        text = json.dumps({**content, "attempt": number}, indent=2, sort_keys=True) + "\n"
        created = atomic_files.create_exclusively(lease.path, text.encode(), durable=False)
        return lease if created else None

    def holder(self) -> dict[str, Any] | None:
        """Read the lease in force, released or not; None where there is none."""
        number = latest_number(self.folder)
        content = atomic_files.read_json(_path(self.folder, number)) if number else None
        return content if isinstance(content, dict) else None

    def history(self) -> list[dict[str, Any]]:
        """Read all leases, the oldest first."""
        found = (
            atomic_files.read_json(_path(self.folder, n))
            for n in range(1, latest_number(self.folder) + 1)
        )
        return [content for content in found if isinstance(content, dict)]

    def is_alive(self) -> bool:
        """True where the owner lives: its process on this host, else a fresh sign of life."""
        holder = self.holder()
        if holder is None or holder.get("released") or _is_our_earlier_start(holder):
            return False
        if holder["host"] == socket.gethostname() and holder["process_started"] is not None:
            started = _start_time(holder["pid"])
            if started is not None or not _belongs_to_another_user(holder["pid"]):
                return bool(started == holder["process_started"])
        return time.time() - self._last_sign() < self.seconds

    def _last_sign(self) -> float:
        signs: Sequence[Path] = [_path(self.folder, latest_number(self.folder)), *self.signs]
        return max((path.stat().st_mtime for path in signs if path.exists()), default=0.0)


def latest_number(folder: Path) -> int:
    """Find the highest number; 0 where there is none."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return 0
    stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    return max((int(stem) for stem in stems if stem.isdigit()), default=0)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.json"


def _is_our_earlier_start(holder: dict[str, Any]) -> bool:
    """True where Slurm requeued this job: it ends all processes before it starts the job again."""
    mine = current_job()
    starts = str(restart_count())
    return mine is not None and holder["slurm_job"] == mine and holder["restarts"] != starts


def _this_process() -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": _start_time(os.getpid()),
        "slurm_job": current_job(),
        "restarts": str(restart_count()),
        "time": time.time(),
    }


def _belongs_to_another_user(pid: int) -> bool:
    """True for a process of another user, which /proc may hide (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _start_time(pid: int) -> str | None:
    """Read when a process started (ids are used again); None where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started
