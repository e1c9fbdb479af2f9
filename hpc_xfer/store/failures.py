"""Why a run failed: error.json. Its classes are the rows of retry_policy.RULES.

failures.write(store.run(id), "hung", "no sign of life for 10 min", lines)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.system import atomic_files
from hpc_xfer.system.job_environment import current_job, current_job_name, node_name

_LAST_LINES = 30


def write(
    run: RunDir,
    kind: str,
    message: str,
    lines: Sequence[str] = (),
    job: str | None = None,
    node: str | None = None,
    job_name: str | None = None,
) -> dict[str, Any]:
    """Write error.json; earlier failures stay in its `history`.

    Args:
        job, job_name, node: where the run failed (default: here). `node` is "" where it is unknown,
            and `job_name` None where only the number of the job is known.

    Raises:
        StoreError: the disk is full.
    """
    run.check_is_no_link()
    before = read(run)
    failure = {
        "class": kind,
        "job": job or current_job(),
        "job_name": job_name if job else current_job_name(),
        "node": node_name() if node is None else node,
        "time": server_time(run.path),
    }
    content = {
        "schema": SCHEMA,
        "run": run.id,
        "message": message,
        "traceback": list(lines)[-_LAST_LINES:],
        "attempt": run_claims.attempts(run),
        "history": [*(before or {}).get("history", []), failure],
        **failure,
    }
    atomic_files.write_json(run.error, content)
    return content


def read(run: RunDir) -> dict[str, Any] | None:
    """Read the last failure; None where there is none."""
    content = atomic_files.read_json(run.error)
    return content if isinstance(content, dict) and "class" in content else None


def of_last_start(run: RunDir) -> dict[str, Any] | None:
    """Read the failure of a run in its last start; None where that start left no word."""
    error = read(run)
    is_last = error is not None and error.get("attempt") == run_claims.attempts(run)
    return error if is_last else None


def is_of_job(error: Mapping[str, Any], job: str | None, name: str | None) -> bool:
    """Tell whether a failure is one in a job: its number and name agree.

    Slurm uses numbers again. Failures of older versions have no name: the number decides then.
    """
    known = error.get("job_name")
    return error.get("job") == job and (known is None or name is None or known == name)


def history(error: dict[str, Any] | None) -> list[str]:
    """The classes of a run's failures since it last succeeded, the last one last."""
    return [each["class"] for each in (error or {}).get("history", [])]
