"""Write the state of a study as JSON, for scripts: `status --json`."""

from typing import Any

from hpc_xfer.monitoring.eta import forecast
from hpc_xfer.monitoring.snapshot import StudySnapshot
from hpc_xfer.scheduling.run_states import RunStatus


def as_json(snapshot: StudySnapshot) -> dict[str, Any]:
    """Return every run by its id, and the study as a whole."""
    time_left = forecast(snapshot.plan, snapshot.status)
    return {
        "schema": 1,
        "study": snapshot.name,
        "counts": snapshot.counts,
        "seconds_left": None if time_left.study is None else round(time_left.study),
        "slurm": snapshot.slurm_error or "answers",
        "relay": snapshot.relay.job if snapshot.relay else None,
        "runs": {run_id: _run_as_json(status) for run_id, status in snapshot.status.items()},
    }


def _run_as_json(status: RunStatus) -> dict[str, Any]:
    content = {
        "state": status.state,
        "why": status.why,
        "message": status.message,
        "job": status.element.job if status.element else None,
        "node": status.line.nodes if status.line else None,
        "progress": dict(status.progress) if status.progress else None,
    }
    return {key: value for key, value in content.items() if value}
