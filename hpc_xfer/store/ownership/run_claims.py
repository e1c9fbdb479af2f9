"""Claims: which process works on a run.

claim = take(run_dir)          # None: a living process has it
claim.check()                  # before every write; raises ClaimLost after another took the run

A job that finds its run claimed by a living process has not failed, and is no try: it leaves a note
in found_held/.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hpc_xfer.store import heartbeat
from hpc_xfer.store.documents.claim import FOUND_HELD
from hpc_xfer.store.documents.record import RECORD
from hpc_xfer.store.ownership.leases import SCHEMA, Lease, LeaseFolder, Sign, latest_number
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files
from hpc_xfer.system.job_environment import current_job, current_job_name, restart_count

# An owner on another host counts as dead when its claim and its heartbeat have not changed for this
# long. A heartbeat is written every 2 s, and a parallel file system may show it a minute late.
LEASE_SECONDS = 15 * 60
Claim = Lease
_JOB = ("slurm_job", "slurm_job_name")


def take(run: RunDir) -> Claim | None:
    """Claim a run; None where a living process has it.

    Raises:
        StoreError: the store cannot be written.
    """
    run.check_is_no_link()
    return _leases(run).take(saved=heartbeat.checkpoint_time(run))


def revoke(run: RunDir, number: int, why: str) -> bool:
    """Free a run whose owner was judged dead; if it lives after all, it can no longer write.

    Args:
        number: of the claim that was judged: its `attempt`.

    Returns:
        False where the claim stays as it is: its process lives on this host, it is released, or
        another process has claimed the run since.
    """
    run.check_is_no_link()
    return _leases(run).revoke(number, why)


def holder(run: RunDir) -> dict[str, Any] | None:
    """Read the claim in force, released or not; None where there is none."""
    return _leases(run).holder()


def progress(run: RunDir, claim: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Read the last heartbeat of the start that a claim is of; None before its first.

    progress.json stays when a run ends early, and the next start takes minutes to its first step
    (imports, data, compilation). Shown as its own, speed and time to go would be those of then.

    Args:
        claim: as `holder` gives it; read where it is not given.
    """
    claim, beat = holder(run) if claim is None else claim, heartbeat.read(run)
    if beat is None or (claim is not None and beat["time"] < claim.get("time", 0)):
        return None
    return beat


def owner_text(claim: Mapping[str, Any]) -> str:
    """Say who made a claim: `process 812 on host n1, in job 1234_5`."""
    job = f", in job {claim['slurm_job']}" if claim.get("slurm_job") else ""
    return f"process {claim.get('pid')} on host {claim.get('host')}{job}"


def is_of_this_job(claim: Mapping[str, Any]) -> bool:
    """Tell whether a claim was made in our Slurm job, as by a worker beside this one."""
    job = current_job()
    return (
        job is not None
        and claim.get("slurm_job") == job
        and (claim.get("slurm_job_name") == current_job_name())
    )


def is_alive(run: RunDir) -> bool:
    """True where the owner lives: its process on this host, else a fresh heartbeat."""
    return _leases(run).is_alive()


def sign_of_life(run: RunDir) -> Sign | None:
    """Return what shows that the owner lives; None where it is dead or has released the run.

    A heartbeat is fresh by the clock of the file server, for 15 minutes.
    """
    return _leases(run).sign_of_life()


def attempts(run: RunDir) -> int:
    """Count how often the run was started."""
    return latest_number(run.claims)


def jobs(run: RunDir, name: str | None = None) -> set[str]:
    """Ids of the Slurm jobs that started this run.

    A finished run has no claims any more: its record names them.

    Args:
        name: leave out jobs of other names, whose numbers Slurm has used again. Claims of older
            versions have no name, and count.
    """
    claims = started_in(run) or _recorded(run)
    return {claim["slurm_job"] for claim in claims if _is_of_job(claim, "slurm_job", name)}


def started_in(run: RunDir) -> list[dict[str, Any]]:
    """List number and name of the Slurm jobs that claimed this run, each once, as a record has it.

    Outside of Slurm there are none.
    """
    claims = ({key: claim.get(key) for key in _JOB} for claim in _leases(run).history())
    return list({tuple(c.values()): c for c in claims if c["slurm_job"] is not None}.values())


def remove(run: RunDir) -> None:
    """Remove the claims of a run that has its record: it is done for all, and nobody's.

    Raises:
        StoreError: one cannot be removed.
    """
    run.check_is_no_link()
    _leases(run).remove()


def record_found_held(run: RunDir, by: Mapping[str, Any] | None) -> None:
    """Note that this job cannot execute a run; without effect outside a job.

    Args:
        by: the claim of the process that works on the run, or on its parent.

    Raises:
        StoreError: the disk is full.
    """
    job = current_job()
    if job is not None:
        run.check_is_no_link()
        content = {
            "schema": SCHEMA, "job": job, "slurm_job_name": current_job_name(),
            "restarts": str(restart_count()), "time": server_time(run.path), "by": dict(by or {}),
        }  # fmt: skip
        atomic_files.write_json(run.found_held / f"{job}.json", content, durable=False)


def found_held(run: RunDir, name: str | None = None) -> set[str]:
    """Ids of the jobs that found this run, or its parent, claimed by a living process.

    Args:
        name: as in `jobs`.
    """
    return {note["job"] for note in _notes(run) if _is_of_job(note, "job", name)}


def jobs_without_progress(run: RunDir) -> int:
    """Count the jobs that started this run since its last checkpoint was saved.

    A job that lost the run to another process in the same start does not count.
    """
    last_saved = heartbeat.checkpoint_time(run)
    lost = {(n["job"], n.get("slurm_job_name"), n.get("restarts")) for n in _notes(run)}
    found: set[tuple[Any, Any]] = set()
    for claim in reversed(_leases(run).history()):
        if claim.get("revoked"):
            continue
        if claim.get("saved", 0) != last_saved:
            break
        job = claim.get("slurm_job"), claim.get("slurm_job_name")
        if (*job, claim.get("restarts")) not in lost:
            found.add(job)
    return len(found)


def _recorded(run: RunDir) -> list[dict[str, Any]]:
    """The jobs that a record names; none where there is no record, or one of an older version."""
    record = RECORD.read(run.record)
    return [] if record is None else record.get("provenance", {}).get("jobs", [])


def _is_of_job(content: Mapping[str, Any], key: str, name: str | None) -> bool:
    """Tell whether a claim or a note was written in a job, and in one of this name if given."""
    known = content.get("slurm_job_name")
    return content.get(key) is not None and (name is None or known in (None, name))


def _notes(run: RunDir) -> Iterator[dict[str, Any]]:
    for path in sorted(run.found_held.glob("*.json")):
        if (content := FOUND_HELD.read(path)) is not None:
            yield content


def _leases(run: RunDir) -> LeaseFolder:
    return LeaseFolder(run.claims, run.id, LEASE_SECONDS, (run.progress,), run.record)
