"""Submit a job, or ask Slurm whether it would accept one.

    job = submit_job(Request("pre.clip.study", command, logs, minutes=60, tasks=16), site.slurm)

submitit writes the batch script and submits it. The script starts our own command, not a pickle: a
launcher that dies between `sbatch` and the renaming of a pickle would leave a job that cannot
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
from hpc_xfer.slurm.answers import error_text, is_final, is_passing
from hpc_xfer.slurm.batch_script import SbatchCall, make_executor, sbatch_parameters, script_text
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.commands import answer_of, failure_of, is_leaking, run_with_retries
from hpc_xfer.slurm.parsing import minutes_of
from hpc_xfer.slurm.request import Request
from hpc_xfer.system import atomic_files

_FULL = ("too many jobs", "temporarily unable to accept")


def is_installed() -> bool:
    return shutil.which("sbatch") is not None


def submit_job(request: Request, slurm: Slurm) -> str:
    """Submit a job and return its id.

    Raises:
        SubmitLimit: the queue is full for us; try again later.
        SlurmError: refused. If `unknown` is set, Slurm may have accepted it all the same: look
            for its name in the queue before trying again.
    """
    call = SbatchCall()
    executor = make_executor(request, slurm, call)
    try:
        atomic_files.make_folder(request.logs)
        with _clean_environment(), _quiet():
            executor._submit_command(shlex.join(request.command))
    except Exception as error:  # submitit's own classes, with the output of sbatch as text
        if call.job is None:  # else Slurm has the job, and only renaming its script failed
            raise _refusal(error, call) from error
    finally:
        if call.file is not None:
            with contextlib.suppress(OSError):
                call.file.unlink()  # a link to <job>_submission.sh, or the script of a refused job
    assert call.job is not None
    return call.job


def is_submitting(logs: Path) -> bool:
    """Tell whether an sbatch of ours runs on this host; it may outlive its launcher."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue  # the process has ended
        if b"sbatch" in words and any(_is_in(word, logs) for word in words.split(b"\0")):
            return True
    return False


def _is_in(word: bytes, logs: Path) -> bool:
    """Tell whether a word names a script in this folder, by whatever path another launch was told.

    resolve(): two spellings of a path are one folder on this host.
    """
    folder, mark, _ = os.fsdecode(word).partition("/.submission_file_")
    return bool(mark) and Path(folder).resolve() == logs.resolve()


def refusal_of(request: Request, slurm: Slurm) -> str | None:
    """Ask Slurm why it would refuse a job (sbatch --test-only); None if it would accept it.

    Raises:
        SlurmError: Slurm does not answer.
    """
    cluster = cluster_of(slurm)
    done = answer_of(["sbatch", "--test-only"], script_text(request, slurm), cluster)
    if done.returncode:
        complaint = error_text(done.stderr) or f"exit code {done.returncode}"
        if is_passing(complaint):
            raise failure_of("sbatch", done)
        return complaint
    parameters = sbatch_parameters(request, slurm)
    time, most = parameters["time"], _most_minutes(parameters.get("partition"), cluster)
    if most is None or time <= most:
        return None
    # Slurm may accept it all the same, and never start it.
    return f"asks for {time} min, but the partition grants {most:g}; set max_minutes: {int(most)}"


def _most_minutes(partition: str | None, cluster: str | None) -> float | None:
    """The time limit of a partition, or of the default one; None without a limit."""
    for row in run_with_retries(["sinfo", "-h", "-a", "-o", "%P|%l"], cluster).splitlines():
        name, _, limit = row.partition("|")
        if partition == name.rstrip("*") or (partition is None and name.endswith("*")):
            return minutes_of(limit)
    return None


@contextlib.contextmanager
def _clean_environment() -> Iterator[None]:
    """Remove the variables of a surrounding job and the user's defaults for a while."""
    gone = {name: os.environ.pop(name) for name in list(os.environ) if is_leaking(name)}
    try:
        yield
    finally:
        os.environ.update(gone)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what submitit prints: our error contains it."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def _refusal(error: Exception, call: SbatchCall) -> SlurmError:
    complaint = error_text(str(error)) or type(error).__name__
    if not call.made:
        return SlurmError(f"no job was submitted: {complaint}; check the disk and its quota")
    code = getattr(error.__cause__, "returncode", None)
    if code is not None and _is_full(complaint):  # 124 too: sbatch waits while the queue is full
        return SubmitLimit(f"Slurm accepts no more jobs now: {complaint}")
    answered = code is not None and 0 < code < 128 and code != 124  # no signal, no `timeout`
    if not answered or not is_final(complaint):
        message = f"sbatch gave no clear answer: {complaint}; launch again, which looks for the job"
        return SlurmError(message, unknown=True)
    return SlurmError(f"Slurm refused a job: {complaint}; run `doctor`, or correct the site file")


def _is_full(complaint: str) -> bool:
    """Tell a limit on submitted jobs from one on time or size; old versions of Slurm name none."""
    if limits := re.findall(r"\b(?:QOS|Assoc)\w+", complaint):
        return any("SubmitJob" in limit for limit in limits)
    return "violates accounting" in complaint or any(sign in complaint for sign in _FULL)
