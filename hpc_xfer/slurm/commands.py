"""Run Slurm's commands in a clean environment, with a time limit, and again if Slurm is busy."""

import os
import re
import subprocess
import time
from collections.abc import Iterable

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.answers import error_text, is_final
from hpc_xfer.slurm.clusters import cluster_options, without_heading

COMMAND_SECONDS = 60  # time limit of a command; a busy slurmctld answers late
_SACCT_SECONDS = 10  # its answer is optional; a dead slurmdbd must not block us
_PATIENCE = "HPC_XFER_SLURM_PATIENCE"  # seconds of pauses in all, before we give up
_PATIENCE_SECONDS = 15.0
_PAUSES = (1, 2, 4, 8, 16)  # parts of it, before a command is repeated
_LONGEST = 3  # times our patience, with the calls: without a controller each takes 9 s
_JOBS_PER_CALL = 500  # in one command line
# Variables of a surrounding job, and a user's defaults: those override the script, change what the
# commands print, hide jobs from squeue and keep scancel from cancelling.
_PREFIXES = ("SLURM", "SLURMD", "SUBMITIT", "SRUN", "SALLOC", "SBATCH", "SQUEUE", "SINFO", "SACCT",
             "SACCTMGR", "SCANCEL", "SCONTROL", "SPRIO", "SSHARE", "SSTAT", "SREPORT")  # fmt: skip
_LEAKING = re.compile(rf"({'|'.join(_PREFIXES)})_")
_OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_JWT")  # its address, and our login
# The GPUs of a surrounding job; outside one they are the user's own choice.
_DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
            "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL", "NVIDIA_VISIBLE_DEVICES")  # fmt: skip


def is_leaking(name: str) -> bool:
    """Tell whether a variable of a surrounding job, or a user's default, would change a job."""
    if name in _DEVICES:
        return "SLURM_JOB_ID" in os.environ
    return _LEAKING.match(name) is not None and name not in _OF_THE_CLUSTER


def clean_environment() -> dict[str, str]:
    """Our environment without what a surrounding job, or a user's default, would change."""
    return {name: value for name, value in os.environ.items() if not is_leaking(name)}


def unset_leaking() -> str:
    """The shell line that removes the variables for which `is_leaking` is true."""
    names = rf"env | grep -oE '^({'|'.join(_PREFIXES)})_[A-Za-z0-9_]*'"
    kept = "|".join(_OF_THE_CLUSTER)
    devices = f"${{SLURM_JOB_ID:+{' '.join(_DEVICES)}}}"
    return f"unset _ $({names} | grep -vxE '{kept}') {devices}"


def chunks(jobs: list[str]) -> Iterable[list[str]]:
    """Cut a list of jobs to the length of a command line."""
    return (jobs[start : start + _JOBS_PER_CALL] for start in range(0, len(jobs), _JOBS_PER_CALL))


def run_with_retries(
    command: list[str], cluster: str | None = None, patience: float | None = None
) -> str:
    """Run a command and return its output; ask again while Slurm may not have understood.

    Args:
        patience: seconds for which to ask again, 0 to ask once; None: the usual.

    Raises:
        SlurmError: refused, or no clear answer.
    """
    done = answer_of(command, cluster=cluster, patience=patience)
    if done.returncode == 0:
        return done.stdout
    raise failure_of(command[0], done)


def failure_of(program: str, done: subprocess.CompletedProcess[str]) -> SlurmError:
    """The error of a command that failed."""
    complaint = error_text(done.stderr) or f"exit code {done.returncode}"
    return SlurmError(f"{program} failed: {complaint}; {_way_out(complaint)}")


def _way_out(complaint: str) -> str:
    if "known by database" in complaint:
        return "correct slurm.cluster in the site file; `sacctmgr show cluster` lists the names"
    if is_final(complaint):
        return "correct what Slurm names"
    return "try again when Slurm answers"


def answer_of(
    command: list[str],
    text: str | None = None,
    cluster: str | None = None,
    patience: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command until it succeeds, is refused for good, or has failed for some seconds.

    Args:
        patience: as in `run_with_retries`.

    Raises:
        SlurmError: there is no such command, or it does not answer.
    """
    patience, began = _patience() if patience is None else patience, time.monotonic()
    for part in _PAUSES:
        done = run_command(command, text, cluster)
        if done.returncode == 0 or is_final(error_text(done.stderr)):
            return done
        if time.monotonic() - began > _LONGEST * patience:
            return done
        time.sleep(patience * part / sum(_PAUSES))  # nothing tells us when a controller is back
    return run_command(command, text, cluster)


def _patience() -> float:
    try:
        return max(0.0, float(os.environ.get(_PATIENCE, _PATIENCE_SECONDS)))
    except ValueError:
        return _PATIENCE_SECONDS


def ask_optional(command: list[str], cluster: str | None = None) -> str | None:
    """Run a command of accounting; None where there is no accounting, or it does not answer."""
    try:
        done = _call(command, None, _SACCT_SECONDS, cluster)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def run_command(
    command: list[str], text: str | None = None, cluster: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command once, for a cluster, with `text` as its input.

    Raises:
        SlurmError: there is no such command, or it does not answer.
    """
    try:
        return _call(command, text, COMMAND_SECONDS, cluster)
    except FileNotFoundError:
        raise SlurmError(
            f"{command[0]} not found: this is not a login node; run the command on one (launch has "
            "--on local)"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(
            f"{command[0]} did not answer within {COMMAND_SECONDS} s; try again when Slurm answers"
        ) from None


def _call(
    command: list[str], text: str | None, seconds: float, cluster: str | None
) -> subprocess.CompletedProcess[str]:
    """Decode whatever it prints: job names of other users may contain any bytes."""
    env = clean_environment()
    env["SLURM_BITSTR_LEN"] = "0"  # else a list of elements is cut after 64 characters
    program, *words = command
    done = subprocess.run(
        [program, *cluster_options(cluster), *words], input=text, capture_output=True,
        encoding="utf-8", errors="replace", env=env, timeout=seconds,
    )  # fmt: skip
    done.stdout = without_heading(done.stdout, cluster)
    return done
