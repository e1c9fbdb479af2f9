"""Why a run is where it is, and what a line of squeue is about: `status --why`, `status --job`."""

from pathlib import Path

from hpc_xfer.errors import StudyError
from hpc_xfer.monitoring.snapshot import StudySnapshot
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.store import failures, retry_policy
from hpc_xfer.store.submission_ledger import Submission
from hpc_xfer.study.labels import run_title
from hpc_xfer.study.plan import Run

_LOG_LINES = 15


def why(snapshot: StudySnapshot, run: Run) -> list[str]:
    """Everything that helps to see why a run is where it is."""
    each = snapshot.now[run.id]
    folder = snapshot.store.run(run.id)
    lines = [
        f"{run.id}  {run_title(run, snapshot.labels)}",
        f"state: {each.state} {each.why}".rstrip(),
    ]
    if each.message:
        lines.append(f"message: {each.message}")
    if meaning := retry_policy.rule_of(each.why).meaning:
        lines.append(f"meaning: {meaning}")
    error = each.error or failures.read(folder) or {}
    job = (each.element.job if each.element else None) or error.get("job")
    node = error.get("node") or (each.line.nodes if each.line else "")
    lines += [f"job: {job}"] if job else []
    lines += [f"node: {node}"] if node else []
    lines.append(f"folder: {folder.path}")
    if job and each.element:
        log = log_path(snapshot.store.study(each.element.submission.study).logs, job)
        lines.append(f"log: {log}")
    if past := error.get("history"):
        lines.append(
            f"failed {len(past)} times: "
            + ", ".join(f"{p['class']} on {p['node'] or 'a node unknown'}" for p in past)
        )
    if error.get("traceback"):
        lines += ["last lines:", *(f"  {line}" for line in error["traceback"])]
    elif job and each.element and log.exists():
        lines += ["last lines of the log:", *(f"  {line}" for line in _tail(log))]
    return lines


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]


def of_job(snapshot: StudySnapshot, job: str) -> list[str]:
    """From a line of squeue to its runs.

    Raises:
        StudyError: no job of this study.
    """
    if job not in {submission.job for submission in snapshot.ledger.submissions.values()}:
        job = _element(snapshot, job)
    for submission in snapshot.ledger.submissions.values():
        if submission.job is not None and job.split("_")[0] == submission.job:
            return _of_submission(snapshot, submission, job)
    raise StudyError(f"job {job}: is none of this store's; see squeue --me")


def _element(snapshot: StudySnapshot, raw: str) -> str:
    """Of an array, by what SLURM_JOB_ID says inside it; waiting ones all have the array's."""
    lines = snapshot.queue.lines.values() if snapshot.queue else ()
    return next((line.job for line in lines if line.raw == raw and "_" in line.job), raw)


def _of_submission(snapshot: StudySnapshot, submission: Submission, job: str) -> list[str]:
    lines = [f"{job}  {submission.name}"]
    if submission.kind == "relay":
        lines.append(f"keeps study {submission.study} going")
    line = snapshot.queue.lines.get(job) if snapshot.queue else None
    if line is not None:
        lines.append(f"Slurm: {line.state} {line.reason} {line.nodes}".rstrip())
    for index, pack in enumerate(snapshot.ledger.packs(submission)):
        if job not in (submission.job, f"{submission.job}_{index}"):
            continue
        for run_id in pack:
            run = snapshot.plan.by_id.get(run_id)
            what = run_title(run, snapshot.labels) if run else f"of study {submission.study}"
            state = snapshot.now[run_id].state if run else ""
            lines.append(f"  {run_id}  {state:<8}{what}")
    log = log_path(snapshot.store.study(submission.study).logs, job)
    return [*lines, f"log: {log}"]
