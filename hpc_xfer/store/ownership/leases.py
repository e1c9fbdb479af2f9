"""Leases: numbered files in a folder, one folder per object (a run, the launch lock).

The process that holds the highest number owns the object. An owner on another host counts as dead
after some time without a sign of life, by the clock of the file server (server_clock.py).

A lease is created by a hard link, so exactly one of many processes gets a number, on NFS too (no
fcntl). Only its owner ever rewrites it, and none is deleted before the work is done for good. So
the number is a fencing token: a late writer checks it and finds that another process has taken
over, or has finished.

Leases are written without fsync: a crash of the host ends their owners too, and a lease that is
empty afterwards belongs to nobody.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hpc_xfer.errors import ClaimLost, StoreError
from hpc_xfer.store.documents.claim import CLAIM
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.system import atomic_files, process_identity, set_aside
from hpc_xfer.system.job_environment import current_job, current_job_name, restart_count

SCHEMA = 1
_NAME = re.compile(r"[1-9][0-9]{0,17}\.json")
_LONGEST_GAP = 10_000
# What shows that an owner lives: its process, on this host; else that it changed a file lately.
Sign = Literal["process", "heartbeat"]


def removed(folder: Path) -> StoreError:
    """The error of a process whose folder somebody removed."""
    return StoreError(
        f"{folder}: was removed while this process worked with it; launch again, and delete "
        "folders of a store only while nothing works on them"
    )


@dataclass(frozen=True)
class Lease:
    """One numbered file, held by this process."""

    folder: Path
    number: int
    thing: str = "run"  # what is owned, for messages
    token: str = ""  # in the file: a file of the same name may be another's, if ours was removed
    result: Path | None = None  # once it is there, leases are removed: nothing is left to own

    @property
    def path(self) -> Path:
        return _path(self.folder, self.number)

    def check(self) -> None:
        """Check that the lease is still in force.

        Raises:
            ClaimLost: another process has taken over.
            StoreError: the lease was removed.
        """
        if _path(self.folder, self.number + 1).exists():
            raise ClaimLost(f"{self.thing}: another process has taken this over")
        if self._is_there():
            return
        if self.path.exists():
            raise ClaimLost(f"{self.thing}: its folder was removed, and another process has it now")
        if self.result is not None and self.result.exists():
            raise ClaimLost(f"{self.thing}: another process has finished it")
        raise removed(self.folder)

    def renew(self) -> None:
        """Show processes on other hosts that the owner is alive."""
        self.check()
        with contextlib.suppress(FileNotFoundError):  # removed just now: the next check tells
            os.utime(self.path, follow_symlinks=False)

    def release(self) -> None:
        """Free it for others at once, before the time runs out."""
        content = CLAIM.read(self.path)
        if content is not None and content.get("token", "") == self.token:
            atomic_files.write_json(self.path, content | {"released": True}, durable=False)

    def _is_there(self) -> bool:
        content = CLAIM.read(self.path)
        return content is not None and content.get("token", "") == self.token


@dataclass(frozen=True)
class LeaseFolder:
    """The leases of one thing, which one process at a time may own."""

    folder: Path
    thing: str
    seconds: float  # an owner on another host counts as dead after this long without a sign
    signs: tuple[Path, ...] = ()  # files whose change is a sign of life, beside the lease
    result: Path | None = None  # see Lease

    def take(self, **more: Any) -> Lease | None:
        """Create the next lease; None where a living process owns the thing.

        Raises:
            StoreError: the folder cannot be written.
        """
        number = latest_number(self.folder)
        if number and self.is_alive():
            return None
        return self._create(number + 1, more)

    def revoke(self, number: int, why: str) -> bool:
        """Take the lease of this number away from an owner that was judged dead; it is free then.

        False, and nothing is done, where it is not in force any more or its process lives here.
        """
        holder = self.holder()
        if holder is None or holder.get("released") or latest_number(self.folder) != number:
            return False
        if process_identity.is_running(holder):
            return False
        return self._create(number + 1, {"released": True, "revoked": why}) is not None

    def _create(self, number: int, more: Mapping[str, Any]) -> Lease | None:
        lease = Lease(self.folder, number, self.thing, os.urandom(8).hex(), self.result)
        content = {**self._of_this_process(), "attempt": number, "token": lease.token, **more}
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        created = atomic_files.create_exclusively(lease.path, text.encode(), durable=False)
        return lease if created else None

    def _of_this_process(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            **process_identity.this_process(),
            "slurm_job": current_job(),
            "slurm_job_name": current_job_name(),
            "restarts": str(restart_count()),
            "time": server_time(self.folder),
            "folder": os.path.abspath(self.folder),
        }

    def holder(self) -> dict[str, Any] | None:
        """Read the lease in force, released or not; None where there is none, or an odd one."""
        number = latest_number(self.folder)
        return CLAIM.read(_path(self.folder, number)) if number else None

    def remove(self) -> None:
        """Remove all leases, the one in force last, and the folder unless more is in it.

        Raises:
            StoreError: one cannot be removed.
        """
        with atomic_files.as_store_error(self.folder):
            for number in _numbers(self.folder):
                _path(self.folder, number).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another process may have made one just now
                self.folder.rmdir()

    def history(self) -> list[dict[str, Any]]:
        """Read all leases, the oldest first."""
        found = (CLAIM.read(_path(self.folder, number)) for number in _numbers(self.folder))
        return [content for content in found if content is not None]

    def is_alive(self) -> bool:
        """True where the owner lives."""
        return self.sign_of_life() is not None

    def sign_of_life(self) -> Sign | None:
        """Return what shows that the owner lives; None where it is dead or has released it.

        The owner of a lease that this user may not read is judged as one on another host.
        """
        holder = self.holder()
        if holder is None:
            return self._heartbeat() if self._is_withheld() else None
        if holder.get("released") or _is_our_earlier_start(holder):
            return None
        if self._is_copied(holder):
            return None
        runs = process_identity.is_running(holder)
        if runs is not None:
            return "process" if runs else None
        return self._heartbeat()

    def _heartbeat(self) -> Sign | None:
        age = server_time(self.folder) - self._last_sign()
        return "heartbeat" if age < self.seconds else None

    def _is_withheld(self) -> bool:
        """True where there is a lease in force, and another user keeps it to himself."""
        number = latest_number(self.folder)
        return number > 0 and not os.access(
            _path(self.folder, number), os.R_OK, effective_ids=True, follow_symlinks=False
        )

    def _is_copied(self, holder: Mapping[str, Any]) -> bool:
        """True where the store was copied, and the owner works in the original."""
        number = latest_number(self.folder)
        original = _path(Path(holder.get("folder", self.folder)), number)
        try:
            if os.path.samefile(original, _path(self.folder, number)):
                return False
        except OSError:  # gone, or a path that nobody can have
            return False
        content = CLAIM.read(original)
        return content is not None and content.get("token") == holder.get("token")

    def _last_sign(self) -> float:
        return max(map(_changed, (_path(self.folder, latest_number(self.folder)), *self.signs)))


def latest_number(folder: Path) -> int:
    """Find the highest number; 0 where there is none."""
    numbers = _numbers(folder)
    return numbers[-1] if numbers else 0


def _numbers(folder: Path) -> list[int]:
    """List the numbers of leases. Each is one more than the one before: a leap is no lease.

    Numbers that a user deleted leave a gap. One far beyond all others would use up all numbers.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    found: list[int] = []
    for number in sorted(int(name[:-5]) for name in names if _NAME.fullmatch(name)):
        if number - (found[-1] if found else 0) > _LONGEST_GAP:
            set_aside.note(_path(folder, number), "has a number that no claim can have")
            break
        found.append(number)
    return found


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.json"


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_our_earlier_start(holder: Mapping[str, Any]) -> bool:
    """True where Slurm requeued this job: it ends all processes before it starts the job again.

    A number alone is not this job: a controller that was installed anew begins at 1 again.
    """
    mine, name = current_job(), current_job_name()
    if mine is None or holder.get("slurm_job") != mine:
        return False
    same_name = holder.get("slurm_job_name", name) == name  # older versions wrote no name
    return same_name and holder.get("restarts") != str(restart_count())
