"""Submit a job, and ask what Slurm has against one.

    job = submit_job(Request("pre.clip.study", command, logs, minutes=60, tasks=16), site.slurm)

submitit writes the batch script and submits it; what it starts is our own command, not a pickle:
a launcher that dies between `sbatch` and the renaming of pickles would leave jobs that cannot
start, and pickles are code.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError, SubmitLimit
from hpc_xfer.slurm.batch_script import SbatchCall, make_executor, sbatch_parameters, script_text
from hpc_xfer.slurm.commands import TRANSIENT_SIGNS, ask, complaint_in, is_leaking, run_command
from hpc_xfer.slurm.parsing import minutes_of
from hpc_xfer.slurm.request import Request

_FULL = ("too many jobs", "temporarily unable to accept")


def is_installed() -> bool:
    return shutil.which("sbatch") is not None


def submit_job(request: Request, slurm: Slurm) -> str:
    """Hand in; returns the job id.

    Raises:
        SubmitLimit: the queue is full for us; it may be taken later.
        SlurmError: refused. Where `unknown` is set, it may have been taken all the same: look for
            its name in the queue before trying again.
    """
    call = SbatchCall()
    executor = make_executor(request, slurm, call)
    try:
        request.logs.mkdir(parents=True, exist_ok=True)
        with _clean_environment(), _quiet():
            executor._submit_command(shlex.join(request.command))
    except Exception as error:  # submitit's own kinds, and what sbatch said as text
        if call.job is None:  # else Slurm has it, and only the script in the logs is amiss
            raise _refusal(error, call) from error
    finally:
        if call.file is not None:
            with contextlib.suppress(OSError):
                call.file.unlink()  # a link to <job>_submission.sh, or the script of a refused job
    assert call.job is not None
    return call.job


def is_submitting(logs: Path) -> bool:
    """Whether an sbatch of ours runs on this host, as one whose launcher was killed may do."""
    mark = f"{logs.resolve()}/.submission_file_".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue  # gone
        if mark in words and b"sbatch" in words:
            return True
    return False


def refusal_of(request: Request, slurm: Slurm) -> str | None:
    """What Slurm has against it (sbatch --test-only); None where it would be taken.

    Raises:
        SlurmError: Slurm does not answer.
    """
    done = run_command(["sbatch", "--test-only"], script_text(request, slurm))
    if done.returncode:
        return complaint_in(done.stderr)
    asked = sbatch_parameters(request, slurm)
    time, most = asked["time"], _most_minutes(asked.get("partition"))
    if most is None or not isinstance(time, int) or time <= most:  # text: the site's own `options`
        return None
    # Slurm may take it all the same, and let it wait for ever.
    return f"asks for {time} min, but the partition grants {most:g}; set max_minutes: {int(most)}"


def _most_minutes(partition: str | None) -> float | None:
    """The time limit of a partition, or of the default one; None where there is none."""
    for row in ask(["sinfo", "-h", "-a", "-o", "%P|%l"]).splitlines():
        name, _, limit = row.partition("|")
        if partition == name.rstrip("*") or (partition is None and name.endswith("*")):
            return minutes_of(limit)
    return None


@contextlib.contextmanager
def _clean_environment() -> Iterator[None]:
    """Without what a surrounding job left or the user has set as defaults."""
    gone = {name: os.environ.pop(name) for name in list(os.environ) if is_leaking(name)}
    try:
        yield
    finally:
        os.environ.update(gone)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """submitit prints what sbatch complains of; our error carries it."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def _refusal(error: Exception, call: SbatchCall) -> SlurmError:
    words = complaint_in(str(error)) or type(error).__name__
    if not call.made:
        return SlurmError(f"no job was submitted: {words}; see the disk and its quota")
    code = getattr(error.__cause__, "returncode", None)
    if code is not None and _is_full(words):  # 124 too: sbatch waits where it is full
        return SubmitLimit(f"Slurm takes no more jobs now: {words}")
    refused = code is not None and 0 < code < 128 and code != 124  # by no signal and no `timeout`
    if not refused or any(sign in words for sign in TRANSIENT_SIGNS):
        said = f"sbatch gave no clear answer: {words}; launch again, which looks for the job"
        return SlurmError(said, unknown=True)
    return SlurmError(f"Slurm refused a job: {words}; see `doctor` and the site file")


def _is_full(words: str) -> bool:
    """Limits on submitted jobs pass, those on time or size do not; old Slurms name none."""
    if limits := re.findall(r"\b(?:QOS|Assoc)\w+", words):
        return any("SubmitJob" in limit for limit in limits)
    return "violates accounting" in words or any(sign in words for sign in _FULL)
