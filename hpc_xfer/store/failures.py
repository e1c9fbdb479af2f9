"""Why a run failed: error.json. Its classes are the rows of retry_policy.RULES.

failures.write(store.run(id), "hung", "no sign of life for 10 min", lines)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hpc_xfer.store.documents.failure import FAILURE
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.system import atomic_files
from hpc_xfer.system.job_environment import current_job, current_job_name, node_name
from hpc_xfer.system.worker_events import whole_text

_LAST_LINES = 30
_LONGEST = 20_000  # characters of a message, and of a line
_MOST_KEPT = 1_000  # failures in the history


def write(
    run: RunDir,
    kind: str,
    message: str,
    lines: Sequence[str] = (),
    job: str | None = None,
    node: str | None = None,
    job_name: str | None = None,
    silent: bool = False,
) -> dict[str, Any]:
    """Write error.json; earlier failures stay in its `history`.

    Args:
        job, job_name, node: where the run failed (default: here). `node` is "" where it is unknown,
            and `job_name` None where only the number of the job is known.
        silent: the worker ended before it reported anything.

    Raises:
        StoreError: the disk is full.
    """
    run.check_is_no_link()
    before = read(run) or {}
    failure = {
        "class": kind,
        "job": job or current_job(),
        "job_name": job_name if job else current_job_name(),
        "node": node_name() if node is None else node,
        "time": server_time(run.path),
        **({"silent": True} if silent else {}),
    }
    content = {
        "schema": SCHEMA,
        "run": run.id,
        "message": whole_text(message[:_LONGEST]),
        "traceback": [whole_text(line[:_LONGEST]) for line in lines[-_LAST_LINES:]],
        "attempt": run_claims.attempts(run),
        "history": [*before.get("history", []), failure][-_MOST_KEPT:],
        **failure,
    }
    atomic_files.write_json(run.error, content)
    return content


def read(run: RunDir) -> dict[str, Any] | None:
    """Read the last failure; None where there is none, or an odd one.

    `message`, `traceback`, `history` and `node` are always set.
    """
    content = FAILURE.read(run.error)
    if content is not None and isinstance(content["traceback"], str):
        content["traceback"] = content["traceback"].splitlines()
    return content


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
    return [] if error is None else [each["class"] for each in error["history"]]
