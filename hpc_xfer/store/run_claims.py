"""Claims: which process works on a run.

claim = take(run_dir)          # None: a living process has it
claim.check()                  # before every write; raises ClaimLost after another took the run
"""

from typing import Any

from hpc_xfer.store import heartbeat
from hpc_xfer.store.leases import Lease, LeaseFolder, latest_number
from hpc_xfer.store.paths import RunDir

# An owner on another host counts as dead when its claim and its heartbeat have not changed for this
# long. A heartbeat is written every 2 s, and a parallel file system may show it a minute late.
LEASE_SECONDS = 15 * 60
Claim = Lease


def take(run: RunDir) -> Claim | None:
    """Claim a run; None where a living process has it.

    Raises:
        StoreError: the store cannot be written.
    """
    return _leases(run).take(saved=heartbeat.checkpoint_time(run))


def revoke(run: RunDir, why: str) -> None:
    """Free a run whose owner is known to be dead; if it lives after all, it can no longer write."""
    held = holder(run)
    if held is not None and not held.get("released"):
        _leases(run).revoke(why)


def holder(run: RunDir) -> dict[str, Any] | None:
    """Read the claim in force, released or not; None where there is none."""
    return _leases(run).holder()


def is_alive(run: RunDir) -> bool:
    """True where the owner lives: its process on this host, else a fresh heartbeat."""
    return _leases(run).is_alive()


def attempts(run: RunDir) -> int:
    """Count how often the run was started."""
    return latest_number(run.claims)


def jobs(run: RunDir) -> set[str]:
    """Ids of the Slurm jobs that started this run."""
    return {job for claim in _leases(run).history() if (job := claim["slurm_job"]) is not None}


def jobs_without_progress(run: RunDir) -> int:
    """Count the jobs that started this run since its last checkpoint was saved."""
    last_saved = heartbeat.checkpoint_time(run)
    found: set[str] = set()
    for claim in reversed(_leases(run).history()):
        if claim.get("revoked"):
            continue
        if claim.get("saved", 0) != last_saved:
            break
        found.add(str(claim["slurm_job"]))
    return len(found)


def _leases(run: RunDir) -> LeaseFolder:
    return LeaseFolder(run.claims, run.id, LEASE_SECONDS, (run.progress,))
