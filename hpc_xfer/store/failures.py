"""Why a run failed: error.json, one class per kind of help that it needs.

failures.write(store.run(id), "hung", "no sign of life for 30 min", lines)
"""

import time
from collections.abc import Sequence
from typing import Any

from hpc_xfer.store import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.system import atomic_files
from hpc_xfer.system.job_environment import current_job, node_name

CLASSES = {
    "out of memory": "the node's memory; more memory_per_gpu helps, or fewer workers",
    "CUDA out of memory": "the GPU's memory; more GPUs per run help, or a smaller batch",
    "time limit": "no step further within the time; more minutes help",
    "node failure": "the node went down",
    "preempted": "a job of higher priority took the node",
    "hung": "no sign of life; the process was ended",
    "killed": "the process was ended from outside, or by a fault in a library",
    "store": "the store could not be written or read",
    "nan": "the loss was not finite; a lower learning rate helps",
    "data": "the data is missing, broken, or not what the recipe asks for",
    "code": "an error in the program",
}
# Another attempt may heal these; the others need a change first.
TRANSIENT = frozenset(CLASSES) - {"nan", "data", "code"}
# These may be the fault of a node.
NODE_RELATED = frozenset({"node failure", "hung", "killed"})
_LAST_LINES = 30


def write(
    run: RunDir,
    kind: str,
    message: str,
    lines: Sequence[str] = (),
    job: str | None = None,
    node: str | None = None,
) -> dict[str, Any]:
    """Replace error.json; what it said before is kept in its `history`.

    Args:
        job, node: of the run; this process's own if not given. `node` is "" where it is unknown.

    Raises:
        StoreError: the disk is full.
    """
    before = read(run)
    here = {
        "class": kind,
        "job": job or current_job(),
        "node": node_name() if node is None else node,
        "time": time.time(),
    }
    content = {
        "schema": SCHEMA,
        "run": run.id,
        "message": message,
        "traceback": list(lines)[-_LAST_LINES:],
        "attempt": run_claims.attempts(run),
        "history": [*(before or {}).get("history", []), here],
        **here,
    }
    atomic_files.write_json(run.error, content)
    return content


def read(run: RunDir) -> dict[str, Any] | None:
    """What went wrong last, or None."""
    content = atomic_files.read_json(run.error)
    return content if isinstance(content, dict) and "class" in content else None


def count(error: dict[str, Any] | None, kind: str) -> int:
    """How often a run failed so, since it last succeeded."""
    return sum(each["class"] == kind for each in (error or {}).get("history", []))
