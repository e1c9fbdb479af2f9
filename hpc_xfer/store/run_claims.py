"""Who works on a run.

claim = take(run_dir)          # None: somebody alive has it
claim.check()                  # before every write: ClaimLost once another has taken the run over
"""

from typing import Any

from hpc_xfer.store import heartbeat
from hpc_xfer.store.leases import Lease, LeaseFolder, latest_number
from hpc_xfer.store.paths import RunDir

# An owner on another host counts as dead when neither its claim nor its heartbeat moved for so
# long; a heartbeat is written every 2 s, and a parallel file system may show it a minute late.
LEASE_SECONDS = 15 * 60
Claim = Lease


def take(run: RunDir) -> Claim | None:
    """The claim, or None where somebody who is alive holds the run.

    Raises:
        StoreError: the store cannot be written.
    """
    return _of(run).take(saved=heartbeat.checkpoint_time(run))


def revoke(run: RunDir, why: str) -> None:
    """Free a run whose owner is known to be dead; should it live, it can no longer write."""
    held = holder(run)
    if held is not None and not held.get("released"):
        _of(run).revoke(why)


def holder(run: RunDir) -> dict[str, Any] | None:
    """The content of the claim in force, released or not."""
    return _of(run).holder()


def is_alive(run: RunDir) -> bool:
    """Whether the owner still works on it: its process on this host, else a fresh heartbeat."""
    return _of(run).is_alive()


def attempts(run: RunDir) -> int:
    """How often the run has been begun."""
    return latest_number(run.claims)


def jobs(run: RunDir) -> set[str]:
    """The Slurm jobs that have begun this run."""
    return {job for claim in _of(run).history() if (job := claim["slurm_job"]) is not None}


def jobs_without_progress(run: RunDir) -> int:
    """How many jobs in a row have begun this run since a checkpoint of it was last saved."""
    saved = heartbeat.checkpoint_time(run)
    vain: set[str] = set()
    for claim in reversed(_of(run).history()):
        if claim.get("revoked"):
            continue
        if claim.get("saved", 0) != saved:
            break
        vain.add(str(claim["slurm_job"]))
    return len(vain)


def _of(run: RunDir) -> LeaseFolder:
    return LeaseFolder(run.claims, run.id, LEASE_SECONDS, (run.progress,))
