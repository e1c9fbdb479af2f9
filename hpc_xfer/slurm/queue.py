"""Ask Slurm: the queue, ended jobs, node names, its own settings.

current_queue().lines[job].state
"""

import os
import pwd
import re
import secrets
from collections.abc import Collection

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.commands import ask, ask_optional, portions
from hpc_xfer.slurm.parsing import ACCOUNTED, FIELDS, Queue, QueueLine, read_accounting, read_queue


def current_queue() -> Queue:
    """One look at the whole queue, in one call.

    Raises:
        SlurmError: Slurm does not answer.
    """
    mark = secrets.token_hex(4)  # others may put line breaks into names, but not this
    command = ["squeue", "-h", "-a", "-r", "-t", "all", "-o", f"{mark}|{FIELDS}"]
    return read_queue(ask(command), current_user(), f"{mark}|")


def current_user() -> str:
    """As Slurm calls us, whatever USER says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def jobs_are_private() -> bool:
    """Whether squeue may keep other users' jobs from us."""
    return bool({"jobs", "all"} & set(slurm_config().get("PrivateData", "").split(",")))


def node_names(partition: str | None) -> list[str]:
    """The names of the nodes that a partition, or the cluster, has now."""
    where = ["-p", partition] if partition else []
    text = ask_optional(["sinfo", "-h", "-a", "-N", "-o", "%N", *where]) or ""
    return sorted(set(text.split()))


def ended_jobs(jobs: Collection[str]) -> dict[str, QueueLine]:
    """What accounting knows of jobs that are over; nothing where there is none or it is dead."""
    found: dict[str, QueueLine] = {}
    for some in portions(sorted({job.split("_")[0] for job in jobs})):
        command = ["sacct", "-n", "-P", "-X", "-j", ",".join(some)]
        text = ask_optional([*command, "-o", ACCOUNTED])
        if text is None:
            break
        found |= read_accounting(text)
    return {job: line for job, line in found.items() if not line.live}


def slurm_config() -> dict[str, str]:
    """Slurm's own settings; none where they are not shown to users."""
    try:
        text = ask(["scontrol", "show", "config"])
    except SlurmError:
        return {}
    return dict(re.findall(r"^(\w+)\s+= (.*\S)", text, re.M))
