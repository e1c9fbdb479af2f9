"""Run Slurm's commands in a clean environment, with a time limit, and again if Slurm is busy."""

import os
import re
import subprocess
import time
from collections.abc import Iterable

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.clusters import cluster_options, without_heading

COMMAND_SECONDS = 60  # time limit of a command; a busy slurmctld answers late
_SACCT_SECONDS = 10  # its answer is optional; a dead slurmdbd must not block us
_PAUSES = (0.5, 1, 2, 4)  # seconds before a command is repeated
_JOBS_PER_CALL = 500  # in one command line
TRANSIENT_SIGNS = ("Unable to contact", "Socket timed out", "temporarily", "Transport endpoint",
              "Zero Bytes were transmitted", "Connection refused")  # fmt: skip
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
# A user's defaults override the script, hide jobs from squeue and keep scancel from cancelling.
_OF_THE_USER = ("SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_")
_OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_JWT")  # its address, and our login


def is_leaking(name: str) -> bool:
    """Tell whether a variable of a surrounding job, or a user's default, would change a command."""
    return name.startswith((*_OF_A_JOB, *_OF_THE_USER)) and name not in _OF_THE_CLUSTER


def error_text(text: str) -> str:
    """The error messages of a command, as one line."""
    lines = (line.strip() for line in text.splitlines())
    messages = (
        re.sub(r"^(sbatch|squeue|scancel|scontrol|allocation): ", "", line) for line in lines
    )
    kept = [re.sub(r"^error: ", "", line) for line in messages]
    return "; ".join(dict.fromkeys(line for line in kept if line))


def chunks(jobs: list[str]) -> Iterable[list[str]]:
    """Cut a list of jobs to the length of a command line."""
    return (jobs[start : start + _JOBS_PER_CALL] for start in range(0, len(jobs), _JOBS_PER_CALL))


def run_with_retries(command: list[str], cluster: str | None = None) -> str:
    """Run a command and return its output; repeat it while a controller restarts."""
    for pause in (*_PAUSES, None):
        done = run_command(command, cluster=cluster)
        if done.returncode == 0:
            return done.stdout
        complaint = error_text(done.stderr)
        if pause is None or not any(sign in complaint for sign in TRANSIENT_SIGNS):
            break
        time.sleep(pause)  # nothing tells us when a controller is back
    raise SlurmError(
        f"{command[0]} failed: {complaint or f'exit code {done.returncode}'}; try again later"
    )


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
    env = {name: value for name, value in os.environ.items() if not is_leaking(name)}
    env["SLURM_BITSTR_LEN"] = "0"  # else a list of elements is cut after 64 characters
    program, *words = command
    done = subprocess.run(
        [program, *cluster_options(cluster), *words], input=text, capture_output=True,
        encoding="utf-8", errors="replace", env=env, timeout=seconds,
    )  # fmt: skip
    done.stdout = without_heading(done.stdout, cluster)
    return done
