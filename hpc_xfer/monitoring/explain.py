"""Explain the state of one run, or of one job of squeue: `status --why`, `status --job`."""

from pathlib import Path

from hpc_xfer.errors import StudyError
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.store import failures, retry_policy
from hpc_xfer.store.submission_ledger import Submission
from hpc_xfer.study.labels import run_title
from hpc_xfer.study.plan import Plan, Run

_LOG_LINES = 15


def explain_run(study: StudyState, start: str) -> list[str]:
    """Return lines that explain the state of the run whose id begins with `start`.

    Raises:
        StudyError: no run, or several.
    """
    run = _find_run(study.plan, start)
    status = study.status[run.id]
    folder = study.store.run(run.id)
    lines = [
        f"{run.id}  {run_title(run, study.labels)}",
        f"state: {status.state} {status.why}".rstrip(),
    ]
    if status.message:
        lines.append(f"message: {status.message}")
    if meaning := retry_policy.rule_of(status.why).meaning:
        lines.append(f"meaning: {meaning}")
    error = status.error or failures.read(folder) or {}
    job = (status.element.job if status.element else None) or error.get("job")
    node = error.get("node") or (status.line.nodes if status.line else "")
    lines += [f"job: {job}"] if job else []
    lines += [f"node: {node}"] if node else []
    lines.append(f"folder: {folder.path}")
    if job and status.element:
        log = log_path(study.store.study(status.element.submission.study).logs, job)
        lines.append(f"log: {log}")
    if past := error.get("history"):
        lines.append(
            f"failed {len(past)} times: "
            + ", ".join(f"{p['class']} on {p['node'] or 'an unknown node'}" for p in past)
        )
    if error.get("traceback"):
        lines += ["last lines:", *(f"  {line}" for line in error["traceback"])]
    elif job and status.element and log.exists():
        lines += ["last lines of the log:", *(f"  {line}" for line in _tail(log))]
    return lines


def _find_run(plan: Plan, start: str) -> Run:
    runs = [run for run in plan.runs if run.id.startswith(start)]
    if len(runs) != 1:
        count = f"{len(runs)} runs of this study have" if runs else "no run of this study has"
        raise StudyError(
            f"--why {start}: {count} an id that begins so; ids are in runs.csv (finished) and "
            "missing.csv (others)"
        )
    return runs[0]


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]


def explain_job(study: StudyState, job_id: str) -> list[str]:
    """Return lines on a job of squeue and its runs.

    Raises:
        StudyError: no job of this store.
    """
    if job_id not in {submission.job for submission in study.ledger.submissions.values()}:
        job_id = _array_id(study, job_id)
    for submission in study.ledger.submissions.values():
        if submission.job is not None and job_id.split("_")[0] == submission.job:
            return _of_submission(study, submission, job_id)
    raise StudyError(
        f"job {job_id}: no study of this store submitted it; check the id with squeue --me"
    )


def _array_id(study: StudyState, raw: str) -> str:
    """Return ARRAY_INDEX for the SLURM_JOB_ID of a running element; pending ones have none."""
    lines = study.queue.lines.values() if study.queue else ()
    return next((line.job for line in lines if line.raw == raw and "_" in line.job), raw)


def _of_submission(study: StudyState, submission: Submission, job: str) -> list[str]:
    lines = [f"{job}  {submission.name}"]
    if submission.kind == "relay":
        lines.append(f"relay of study {submission.study}")
    line = study.queue.lines.get(job) if study.queue else None
    if line is not None:
        lines.append(f"Slurm: {line.state} {line.reason} {line.nodes}".rstrip())
    for index, pack in enumerate(study.ledger.packs(submission)):
        if job not in (submission.job, f"{submission.job}_{index}"):
            continue
        for run_id in pack:
            run = study.plan.by_id.get(run_id)
            what = run_title(run, study.labels) if run else f"of study {submission.study}"
            state = study.status[run_id].state if run else ""
            lines.append(f"  {run_id}  {state:<8}{what}")
    log = log_path(study.store.study(submission.study).logs, job)
    return [*lines, f"log: {log}"]
