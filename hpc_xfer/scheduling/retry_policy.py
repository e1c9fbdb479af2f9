"""Which failures are tried again, by whom, and how often."""

from typing import Literal

from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import atomic_files


def failed_for_good(whole: Plan, store: Store, done: set[str]) -> dict[str, str]:
    """Runs whose failure another attempt alone would not heal."""
    found = {}
    for run in whole.runs:
        error = atomic_files.read_json(store.run(run.id).error) if run.id not in done else None
        if isinstance(error, dict) and error.get("class") not in failures.TRANSIENT:
            found[run.id] = f"{error.get('class')}: {error.get('message')}"
    return found


def without_descendants(todo: Plan, gone: set[str]) -> Plan:
    blocked = {run.id for run in todo.runs if any(parent.id in gone for parent in run.parents)}
    return todo.without(gone | blocked)


# relay: what failed for passing reasons, a few times; launch: again, now that a person asks;
# all: whatever failed (--retry-failed).
Retry = Literal["relay", "launch", "all"]
