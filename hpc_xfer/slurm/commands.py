"""Run one of Slurm's commands: a clean environment, a time limit, a second try where that helps."""

import os
import re
import subprocess
import time
from collections.abc import Iterable

from hpc_xfer.errors import SlurmError

COMMAND_SECONDS = 60  # for one command; slurmctld under load answers late
_SACCT_SECONDS = 10  # refines what we know already; a dead slurmdbd must not hold us up
_PAUSES = (0.5, 1, 2, 4)  # before a question is asked again
_JOBS_PER_CALL = 500  # in one command line
TRANSIENT_SIGNS = ("Unable to contact", "Socket timed out", "temporarily", "Transport endpoint",
              "Zero Bytes were transmitted", "Connection refused")  # fmt: skip
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
# The user's defaults beat lines of the script, hide jobs from squeue and spare them from scancel.
_OF_THE_USER = ("SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_")
_OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_JWT")  # where it is, and who we are to it


def is_leaking(name: str) -> bool:
    return name.startswith((*_OF_A_JOB, *_OF_THE_USER)) and name not in _OF_THE_CLUSTER


def complaint_in(text: str) -> str:
    """What a command complained of, as one line."""
    lines = (line.strip() for line in text.splitlines())
    said = (re.sub(r"^(sbatch|squeue|scancel|scontrol|allocation): ", "", line) for line in lines)
    kept = [re.sub(r"^error: ", "", line) for line in said]
    return "; ".join(dict.fromkeys(line for line in kept if line))


def portions(jobs: list[str]) -> Iterable[list[str]]:
    return (jobs[start : start + _JOBS_PER_CALL] for start in range(0, len(jobs), _JOBS_PER_CALL))


def ask(command: list[str]) -> str:
    """Standard output; what passes (a controller that restarts) is asked again."""
    for pause in (*_PAUSES, None):
        done = run_command(command)
        if done.returncode == 0:
            return done.stdout
        words = complaint_in(done.stderr)
        if pause is None or not any(sign in words for sign in TRANSIENT_SIGNS):
            break
        time.sleep(pause)  # a controller that restarts tells nobody when it is back
    raise SlurmError(f"{command[0]} failed: {words or done.returncode}; try again later")


def ask_optional(command: list[str]) -> str | None:
    """Standard output of what accounting may tell us; None where there is none, or it is dead."""
    try:
        done = _call(command, None, _SACCT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def run_command(command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return _call(command, text, COMMAND_SECONDS)
    except FileNotFoundError:
        raise SlurmError(
            f"{command[0]} is not on PATH: this is no login node; use --on local"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(
            f"{command[0]} gave no answer in {COMMAND_SECONDS} s; try again when Slurm answers"
        ) from None


def _call(command: list[str], text: str | None, seconds: float) -> subprocess.CompletedProcess[str]:
    """Names of other people's jobs may hold bytes that are no text."""
    env = {name: value for name, value in os.environ.items() if not is_leaking(name)}
    env["SLURM_BITSTR_LEN"] = "0"  # else a list of elements is cut after 64 characters
    return subprocess.run(
        command, input=text, capture_output=True, encoding="utf-8", errors="replace",
        env=env, timeout=seconds,
    )  # fmt: skip
