"""Follow the log of a run, as `tail -f` does, over requeues and new jobs: `status --follow`.

for line in follow(look, "c0ffee", every=10): say(line)
"""

import codecs
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hpc_xfer.monitoring.run_ids import run_that_begins
from hpc_xfer.monitoring.sentences import never_launched
from hpc_xfer.monitoring.slurm_reasons import with_own_word
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.study.plan import Run
from hpc_xfer.system import atomic_files, set_aside

OPTION = "--follow"  # for messages
_TICK_SECONDS = 1.0  # between looks at the log; the queue is asked more seldom
_AT_FIRST = 16 << 10  # bytes of a log that was there before
_MOST_AT_ONCE = 1 << 20  # bytes


def follow(
    look: Callable[[], StudyState],
    start: str,
    every: float,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Yield the lines of a run's log as they are written, until the run has ended.

    Args:
        start: the first characters of the run's id.
        every: seconds between questions to Slurm, which serves others too.

    Raises:
        StudyError: no run, or several, have an id that begins so.
    """
    log: GrowingLog | None = None
    told = ""
    while True:
        study = look()
        run = run_that_begins(study, start, OPTION)
        status = study.status[run.id]
        path = log_of(study, run)
        if path is not None and (log is None or log.path != path):
            yield from log.rest() if log else ()
            log = GrowingLog(path)
        for tick in range(max(1, round(every / _TICK_SECONDS))):
            was_there = log is not None and log.was_there
            lines = log.new_lines() if log else []
            if log and log.was_there and not was_there:
                yield f"== {log.path}"
            yield from lines
            if tick == 0 and has_ended(study, status):
                yield from log.rest() if log else ()
                yield f"{run.id} is {_state(status)}"
                yield from filter(None, [never_launched(study)])
                return
            is_there = log is not None and log.was_there
            if not is_there or status.state not in ("running", "starting"):
                sentence = _waiting(run, status, path, is_there)
                yield from [sentence] if sentence != told else []
                told = sentence
            wait(_TICK_SECONDS)


def has_ended(study: StudyState, status: RunStatus) -> bool:
    """Tell whether nothing that is in the queue or at work will execute the run."""
    if status.state == "done":
        return True
    if status.state in ("failed", "lost") and not status.is_retried("relay"):
        return True
    return not status.live and not study.is_live


def log_of(study: StudyState, run: Run) -> Path | None:
    """Find the log of the last start of a run; None where no process has one yet."""
    status, folder = study.status[run.id], study.store.run(run.id)
    element = status.element
    if element is not None and element.job is not None:
        return log_path(study.store.study(element.submission.study).logs, element.job)
    logs = study.store.study(study.name).logs
    claim = run_claims.holder(folder)
    if claim is not None and (own := _log_of_process(claim.get("pid"), logs)) is not None:
        return own
    error = failures.read(folder) or {}
    jobs = sorted(run_claims.jobs(folder), key=_number)
    job = error.get("job") or (jobs[-1] if jobs else None)
    if not job:
        return None
    for each in study.ledger.elements_by_run.get(run.id, []):  # of another study, perhaps
        if each.job == str(job):
            logs = study.store.study(each.submission.study).logs
    return log_path(logs, str(job))


def _number(job: str) -> tuple[int, ...]:
    return tuple(int(part) for part in job.split("_") if part.isdigit())


def _log_of_process(pid: object, logs: Path) -> Path | None:
    """Find the file to which a process of this host writes errors, if it is a log of the study."""
    try:
        path = Path(os.readlink(f"/proc/{pid}/fd/2"))
        return path if path.parent == logs.resolve() else None
    except OSError:
        return None


def _state(status: RunStatus) -> str:
    why = "" if status.why in ("", "None") else f": {status.why}"
    message = next(iter(status.message.splitlines()), "")
    return f"{status.state}{why}" + (f": {message}" if message else "")


def _waiting(run: Run, status: RunStatus, path: Path | None, is_there: bool) -> str:
    """Say what a run waits for, and where its log will be."""
    why = "" if status.why in ("", "None") else f" ({with_own_word(status.why)})"
    where = f"its log will be {path}" if path else "it has no log before it starts"
    return f"{run.id} is {status.state}{why}" + ("" if is_there else f"; {where}")


class GrowingLog:
    """A file that another process appends to; it may not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.was_there = False
        self._read = 0  # bytes
        self._begun = ""  # a line without its end
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def new_lines(self) -> list[str]:
        """Return the whole lines that were added since the last call."""
        *lines, self._begun = (self._begun + self._decoder.decode(self._new_bytes())).split("\n")
        return lines

    def rest(self) -> list[str]:
        """Return what is left, also of a line without its end."""
        lines = [*self.new_lines(), self._begun]
        self._begun = ""
        return lines if lines[-1] else lines[:-1]

    def _new_bytes(self) -> bytes:
        try:
            with open(atomic_files.open_plainly(self.path), "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if not self.was_there:
                    self._read = max(0, size - _AT_FIRST)
                if size < self._read:  # written anew
                    self._read = 0
                self.was_there = True
                data = os.pread(file.fileno(), _MOST_AT_ONCE, self._read)
        except atomic_files.OddFile as odd:
            set_aside.note(self.path, str(odd))
            return b""
        except OSError:
            return b""
        self._read += len(data)
        return data
