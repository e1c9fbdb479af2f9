"""Write the state of a study as JSON, for scripts: `status --json`."""

from typing import Any

from hpc_xfer.monitoring.eta import forecast
from hpc_xfer.monitoring.slurm_reasons import plain_reason
from hpc_xfer.monitoring.study_state import StudyState, is_elsewhere
from hpc_xfer.states.run_states import RunStatus


def as_json(study: StudyState) -> dict[str, Any]:
    """Return every run by its id, and the study as a whole."""
    time_left = forecast(study.plan, study.status)
    return {
        "schema": 1,
        "study": study.name,
        "launched": study.is_launched,
        "cancelled": study.is_cancelled,
        "counts": study.counts,
        "seconds_left": None if time_left.study is None else round(time_left.study),
        "slurm": study.slurm_error or "answers",
        "relay": study.relay.job if study.relay else None,
        "notes": list(study.notes),
        "runs": {run_id: _run_as_json(status) for run_id, status in study.status.items()},
    }


def _run_as_json(status: RunStatus) -> dict[str, Any]:
    """The job of a run that another process executes is no job that does: it is left out."""
    elsewhere = is_elsewhere(status)
    content = {
        "state": status.state,
        "why": status.why,
        "meaning": plain_reason(status.why) if status.state == "pending" else "",
        "message": status.message,
        "owner": status.why if elsewhere else "",
        "job": status.element.job if status.element and not elsewhere else None,
        "node": status.line.nodes if status.line and not elsewhere else None,
        "progress": dict(status.progress) if status.progress else None,
    }
    return {key: value for key, value in content.items() if value}
