"""Who works on a run. Claims are numbered; the highest owns the run, and a late writer can tell.

    claim = take(run_dir)          # None: somebody alive has it
    claim.check()                  # before every write: ClaimLost once there is a higher number

A claim is created by hard link, so exactly one of any number of processes gets a number, on NFS
too; nothing is ever deleted or rewritten by another than its owner, so there is no window in which
two believe they own a run after one of them checked (a lease with a fencing token).
"""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer import files
from hpc_xfer.errors import ClaimLost
from hpc_xfer.store import SCHEMA, RunDir

# An owner on another host counts as dead when neither its claim nor its heartbeat moved for so
# long; a heartbeat is written every 2 s, and a parallel file system may show it a minute late.
LEASE_SECONDS = 15 * 60


@dataclass(frozen=True)
class Claim:
    folder: Path
    number: int

    @property
    def path(self) -> Path:
        return _path(self.folder, self.number)

    def check(self) -> None:
        """Raises:
        ClaimLost: another process has taken the run over.
        """
        if _path(self.folder, self.number + 1).exists():
            raise ClaimLost(f"{self.folder.parent.name}: another process has taken this run over")

    def release(self) -> None:
        """Let others have the run at once, without waiting for signs of our death."""
        claim = files.read_json(self.path)
        if isinstance(claim, dict):
            files.write_json(self.path, claim | {"released": True})


def take(run: RunDir) -> Claim | None:
    """The claim, or None where somebody who is alive holds the run.

    Raises:
        StoreError: the store cannot be written.
    """
    last = _last(run.claims)
    if last and is_alive(run):
        return None
    run.claims.mkdir(parents=True, exist_ok=True)
    claim = Claim(run.claims, last + 1)
    return claim if files.create_exclusively(claim.path, _me(last)) else None


def holder(run: RunDir) -> dict[str, Any] | None:
    """The content of the claim in force, released or not."""
    last = _last(run.claims)
    claim = files.read_json(_path(run.claims, last)) if last else None
    return claim if isinstance(claim, dict) else None


def is_alive(run: RunDir) -> bool:
    """Whether the owner still works on it: its process on this host, else a fresh heartbeat."""
    claim = holder(run)
    if claim is None or claim.get("released"):
        return False
    if _is_our_last_start(claim):
        return False
    if claim["host"] == socket.gethostname() and claim["process_started"] is not None:
        return bool(_process_started(claim["pid"]) == claim["process_started"])
    return time.time() - _last_sign(run) < LEASE_SECONDS


def _is_our_last_start(claim: dict[str, Any]) -> bool:
    """Slurm requeued this very job; it ends the processes of one start before the next."""
    job, restarts = _slurm()
    return job is not None and claim["slurm_job"] == job and claim["slurm_restarts"] != restarts


def attempts(run: RunDir) -> int:
    """How often the run has been begun."""
    return _last(run.claims)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.json"


def _last(folder: Path) -> int:
    return max((int(p.stem) for p in folder.glob("[0-9]*.json") if p.stem.isdigit()), default=0)


def _slurm() -> tuple[str | None, str | None]:
    """Job id, which an array element does not share, and how often Slurm has started it again."""
    return os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT")


def _me(before: int) -> bytes:
    job, restarts = _slurm()
    content = {
        "schema": SCHEMA,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": _process_started(os.getpid()),
        "slurm_job": job,
        "slurm_restarts": restarts,
        "attempt": before + 1,
        "time": time.time(),
    }
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _process_started(pid: int) -> str | None:
    """A mark of this very process (ids are used again), None where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started


def _last_sign(run: RunDir) -> float:
    signs = [_path(run.claims, _last(run.claims)), run.progress]
    return max((path.stat().st_mtime for path in signs if path.exists()), default=0.0)
