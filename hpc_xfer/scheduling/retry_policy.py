"""Which runs of a launch on this machine are tried again."""

from hpc_xfer.store.retry_policy import is_retried
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import atomic_files


def failed_for_good(whole: Plan, store: Store, done: set[str]) -> dict[str, str]:
    """Runs whose failure another attempt alone would not heal."""
    found = {}
    for run in whole.runs:
        error = atomic_files.read_json(store.run(run.id).error) if run.id not in done else None
        if isinstance(error, dict) and not is_retried(str(error.get("class")), by="launch"):
            found[run.id] = f"{error.get('class')}: {error.get('message')}"
    return found


def without_descendants(todo: Plan, gone: set[str]) -> Plan:
    blocked = {run.id for run in todo.runs if any(parent.id in gone for parent in run.parents)}
    return todo.without(gone | blocked)
