"""Explain the state of one run, or of one job of squeue: `status --why`, `status --job`."""

from collections import Counter
from collections.abc import Iterator

from hpc_xfer.errors import StudyError
from hpc_xfer.monitoring.job_ids import JobId, read_job_id
from hpc_xfer.monitoring.run_ids import runs_that_begin
from hpc_xfer.monitoring.slurm_reasons import plain_reason
from hpc_xfer.monitoring.study_state import StudyState, place_of
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.slurm.parsing import QueueLine
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store import failures, retry_policy
from hpc_xfer.store.access.logs import last_lines
from hpc_xfer.store.submission_ledger import Submission
from hpc_xfer.study.plan import Run
from hpc_xfer.study.state_words import MEANINGS, MISSING_MEANINGS
from hpc_xfer.system.terminal import counted

_LOG_LINES = 15
_MOST_FOUND = 50  # runs whose ids begin alike


def explain_run(study: StudyState, start: str) -> list[str]:
    """Return lines that explain the state of the run whose id begins with `start`.

    If several ids begin so, the runs are listed.

    Raises:
        StudyError: no run has such an id.
    """
    runs = runs_that_begin(study, start, "--why")
    if len(runs) > 1:
        more = len(runs) - _MOST_FOUND
        return [
            f"{len(runs):,} runs have ids that begin with {start}; give more of one:",
            *(_in_one_line(study, run) for run in runs[:_MOST_FOUND]),
            *([f"... {more:,} more"] if more > 0 else []),
        ]
    return [*_of_run(study, runs[0])]


def _in_one_line(study: StudyState, run: Run) -> str:
    return f"  {run.id}  {study.status[run.id].state:<8} {study.titles.of(run)}"


def _of_run(study: StudyState, run: Run) -> Iterator[str]:
    status, folder = study.status[run.id], study.store.run(run.id)
    yield f"{run.id}  {study.titles.of(run)}"
    yield f"state: {status.state} {'' if status.why == 'None' else status.why}".rstrip()
    if status.message:
        yield f"message: {status.message}"
    yield f"meaning: {_meaning(status)}"
    error = status.error or failures.read(folder) or {}
    place, node = place_of(status)
    job = (status.element.job if status.element else None) or error.get("job")
    if place or job:
        yield f"job: {place or job}"
    if node := node or error.get("node", ""):
        yield f"node: {node}"
    yield f"folder: {folder.path}"
    log = None
    if job and status.element:
        log = log_path(study.store.study(status.element.submission.study).logs, job)
        yield f"log: {log}"
    if past := error.get("history"):
        nodes = ", ".join(f"{p['class']} on {p['node'] or 'an unknown node'}" for p in past)
        yield f"failed {counted(len(past), 'time')}: {nodes}"
    if error.get("traceback"):
        yield "last lines:"
        yield from (f"  {line}" for line in error["traceback"])
    elif log is not None and log.exists():
        yield "last lines of the log:"
        yield from (f"  {line}" for line in last_lines(log, _LOG_LINES))


def _meaning(status: RunStatus) -> str:
    """Say in plain words what the state and its reason mean."""
    said = ""
    if status.state == "pending":
        said = plain_reason(status.why)
    elif status.state in ("failed", "lost"):
        said = retry_policy.rule_of(status.why).meaning
    elif status.state == "missing":
        said = MISSING_MEANINGS.get(status.why, "")
    return said or MEANINGS[status.state]


def explain_job(study: StudyState, text: str) -> list[str]:
    """Return lines on a job of squeue and its runs.

    Args:
        text: 10, 10_3, or 10_[0-3%4] as squeue prints waiting elements; or the SLURM_JOB_ID of a
            running element.

    Raises:
        StudyError: no job of this store.
    """
    asked = read_job_id(text)
    if asked is None:
        raise StudyError(f"--job {text}: is not a job id; give it as squeue prints it, as 1234_5")
    known = [s for s in study.ledger.submissions.values() if s.job == asked.job]
    if not known and asked.is_whole and (line := _running_element(study, asked.job)):
        known, text = [study.ledger.submissions[line.name]], line.job
        asked = read_job_id(text) or asked
    if not known:
        raise StudyError(
            f"job {text}: no study of this store submitted it; check the id with squeue --me"
        )
    lines = []
    if len(known) > 1:
        lines.append(
            f"Slurm gave the number {asked.job} to {len(known)} jobs of this store, one after "
            "another:"
        )
    for submission in known:
        lines += _of_submission(study, submission, asked, text)
    return lines


def _running_element(study: StudyState, raw: str) -> QueueLine | None:
    """The running element of this SLURM_JOB_ID; pending ones have none."""
    for line in study.queue.lines.values() if study.queue else ():
        known = study.ledger.submissions.get(line.name)
        if line.raw == raw and "_" in line.job and known and known.user == line.user:
            return line
    return None


def _of_submission(
    study: StudyState, submission: Submission, asked: JobId, text: str
) -> Iterator[str]:
    chosen = {
        index: job
        for index, job in submission.ids()
        if submission.elements is None or asked.has(index)
    }
    yield f"{text}  {submission.name}"
    yield f"submitted: {submission.time} by {submission.user} on {submission.host}"
    if submission.kind == "relay":
        yield f"relay of study {submission.study}"
    if not chosen:
        last = (submission.elements or 1) - 1
        more = f"s are {submission.job}_0 to" if last else " is"
        yield f"its element{more} {submission.job}_{last}"
    yield from _of_slurm(study, submission, chosen)
    for index, pack in enumerate(study.ledger.packs(submission)):
        for run_id in pack if index in chosen else ():
            run = study.plan.by_id.get(run_id)
            what = study.titles.of(run) if run else f"of study {submission.study}"
            state = study.status[run_id].state if run else ""
            element = f"{chosen[index]}  " if len(chosen) > 1 else ""
            yield f"  {element}{run_id}  {state:<8} {what}"
    logs = study.store.study(submission.study).logs
    if len(chosen) > 1:
        yield f"log: {log_path(logs, f'{submission.job}_*')} of each element"
    for job in chosen.values() if len(chosen) == 1 else ():
        path = log_path(logs, job)
        yield f"log: {path}" if path.exists() else f"log: {path} (not written)"


def _of_slurm(study: StudyState, submission: Submission, chosen: dict[int, str]) -> Iterator[str]:
    """Tell what Slurm says of the elements; a job of another name is none of ours."""
    if study.queue is None:
        return
    found = [study.queue.find(job, submission.name, submission.user) for job in chosen.values()]
    lines = [line for line in found if line is not None]
    if len(lines) == 1:
        (line,) = lines
        meaning = plain_reason(line.reason) if line.state == "PENDING" else ""
        said = f"Slurm: {line.state} {line.reason} {line.nodes}".rstrip()
        yield f"{said} ({meaning})" if meaning else said
    elif lines:
        counts = Counter(map(_state_and_reason, lines))
        yield "Slurm: " + ", ".join(f"{count:,} {what}" for what, count in counts.items())
    same_number = [study.queue.lines.get(str(job)) for job in (submission.job, *chosen.values())]
    others = {
        f"{line.name} of {line.user}"
        for line in same_number
        if line is not None and (line.name, line.user) != (submission.name, submission.user)
    }
    for other in sorted(others):
        yield f"Slurm has given this number to another job since, {other}"


def _state_and_reason(line: QueueLine) -> str:
    return f"{line.state} {line.reason}" if line.state == "PENDING" else line.state
