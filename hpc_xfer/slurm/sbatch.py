"""Submit a job, or ask Slurm whether it would accept one.

    job = submit_job(Request("pre.clip.study", command, logs, minutes=60, tasks=16), site.slurm)

submitit writes the text of the batch script. It starts our own command, not a pickle: a launcher
that dies between `sbatch` and the renaming of a pickle would leave a job that cannot start, and
pickles are code. sbatch reads it from a file without a name: what lies in `logs/`, another member
of a lab may replace before sbatch has read it.
"""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError, SubmitLimit
from hpc_xfer.slurm.answers import error_text, is_final, is_passing
from hpc_xfer.slurm.batch_script import sbatch_parameters, script_text, shown_script
from hpc_xfer.slurm.clusters import cluster_of, cluster_options
from hpc_xfer.slurm.commands import (
    COMMAND_SECONDS,
    answer_of,
    clean_environment,
    failure_of,
    run_with_retries,
)
from hpc_xfer.slurm.nodes.node_limits import explained
from hpc_xfer.slurm.parsing import minutes_of
from hpc_xfer.slurm.request import Request
from hpc_xfer.system import atomic_files
from hpc_xfer.system.private_file import write_private

_FULL = ("too many jobs", "temporarily unable to accept")
_LOGS = "--output="


def is_installed() -> bool:
    return shutil.which("sbatch") is not None


def submit_job(request: Request, slurm: Slurm) -> str:
    """Submit a job and return its id.

    Raises:
        SubmitLimit: the queue is full for us; try again later.
        SlurmError: refused. If `unknown` is set, Slurm may have accepted it all the same: look
            for its name in the queue before trying again.
    """
    text = script_text(request, slurm)
    command = ["timeout", str(COMMAND_SECONDS), "sbatch", *cluster_options(cluster_of(slurm))]
    try:
        atomic_files.make_folder(request.logs)
        with _unnamed_file(text) as script:
            done = subprocess.run(
                [*command, _logs_option(text)], stdin=script, capture_output=True,
                encoding="utf-8", errors="replace", env=clean_environment(),
            )  # fmt: skip
    except OSError as error:  # before sbatch was started
        raise SlurmError(f"no job was submitted: {error}; check the disk and its quota") from error
    if done.returncode:
        said, parameters = error_text(done.stderr), sbatch_parameters(request, slurm)
        shown = explained(said, parameters, cluster_of(slurm))
        raise _refusal(said, done.returncode, shown)
    job = _job_in(done.stdout)
    if job is None:
        raise _unclear(f"no job id in the output {done.stdout[:100]!r}")
    with contextlib.suppress(OSError):  # Slurm has the job; the copy is for its user
        # Private: a shell may hold a value in more ways than `shown_script` can know.
        write_private(request.logs / f"{job}_submission.sh", shown_script(request, slurm).encode())
    return job


def _unnamed_file(text: str) -> IO[bytes]:
    """A file that only this process and its children can open.

    Not a pipe: a launcher that is killed while it writes would leave half a script to sbatch.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(text.encode())
    file.seek(0)
    return file


def _logs_option(text: str) -> str:
    """Repeat the script's `--output` as an argument: `is_submitting` knows our sbatch by it."""
    found = re.search(rf"^#SBATCH ({_LOGS}.*)$", text, re.M)
    assert found is not None
    return shlex.split(found[1])[0]


def is_submitting(logs: Path) -> bool:
    """Tell whether an sbatch of ours runs on this host; it may outlive its launcher."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid != os.geteuid():
                continue  # any user may give a process any words
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # the process has ended
        if b"sbatch" in words and any(_is_in(word, logs) for word in words):
            return True
    return False


def _is_in(word: bytes, logs: Path) -> bool:
    """Tell whether a word sends logs to this folder, by whatever path another launch was told.

    resolve(): two spellings of a path are one folder on this host.
    """
    text = os.fsdecode(word)
    if not text.startswith(_LOGS):
        return False
    return Path(text.removeprefix(_LOGS)).parent.resolve() == logs.resolve()


def refusal_of(request: Request, slurm: Slurm) -> str | None:
    """Ask Slurm why it would refuse a job (sbatch --test-only); None if it would accept it.

    Raises:
        SlurmError: Slurm does not answer.
    """
    cluster = cluster_of(slurm)
    parameters = sbatch_parameters(request, slurm)
    done = answer_of(["sbatch", "--test-only"], script_text(request, slurm), cluster)
    if done.returncode:
        complaint = error_text(done.stderr) or f"exit code {done.returncode}"
        if is_passing(complaint):
            raise failure_of("sbatch", done)
        return explained(complaint, parameters, cluster)
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


def _job_in(output: str) -> str | None:
    """The job id in what sbatch printed; wrappers of a cluster may print other jobs before it."""
    found = re.search(r"Submitted batch job (\d+)", output)
    found = found or re.search(r"^(\d+)(?:;\S+)?$", output.strip(), re.M)  # --parsable
    return None if found is None else found[1]


def _refusal(complaint: str, code: int, shown: str) -> SlurmError:
    """Judge what sbatch wrote; `shown` is that with an explanation."""
    complaint, shown = complaint or f"exit code {code}", shown or f"exit code {code}"
    if _is_full(complaint):  # 124 too: sbatch waits while the queue is full
        return SubmitLimit(f"Slurm accepts no more jobs now: {complaint}")
    answered = 0 < code < 128 and code != 124  # no signal, no `timeout`
    if not answered or not is_final(complaint):
        return _unclear(complaint)
    return SlurmError(f"Slurm refused a job: {shown}; run `doctor`, or correct the site file")


def _unclear(complaint: str) -> SlurmError:
    message = f"sbatch gave no clear answer: {complaint}; launch again, which looks for the job"
    return SlurmError(message, unknown=True)


def _is_full(complaint: str) -> bool:
    """Tell a limit on submitted jobs from one on time or size; old versions of Slurm name none."""
    if limits := re.findall(r"\b(?:QOS|Assoc)\w+", complaint):
        return any("SubmitJob" in limit for limit in limits)
    return "violates accounting" in complaint or any(sign in complaint for sign in _FULL)
