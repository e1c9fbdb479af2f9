"""Ask Slurm for the queue, ended jobs, node names and its own settings.

current_queue().lines[job].state
"""

import os
import pwd
import re
import secrets
from collections.abc import Collection

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.commands import ask_optional, chunks, run_with_retries
from hpc_xfer.slurm.parsing import ACCOUNTED, FIELDS, Queue, QueueLine, read_accounting, read_queue

_names: dict[str, str] = {}  # of clusters, by the file that leads to their controller


def current_queue(cluster: str | None = None, patience: float | None = None) -> Queue:
    """Read the whole queue in one call.

    Args:
        patience: seconds for which to ask again where Slurm does not answer; None: the usual.

    Raises:
        SlurmError: Slurm does not answer.
    """
    mark = secrets.token_hex(4)  # names of others may contain line breaks, but not this
    command = ["squeue", "-h", "-a", "-r", "-t", "all", "-o", f"{mark}|{FIELDS}"]
    text = run_with_retries(command, cluster, patience)
    return read_queue(text, current_user(), f"{mark}|", cluster)


def current_user() -> str:
    """Our user name in Slurm, whatever USER says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def jobs_are_private(cluster: str | None = None) -> bool:
    """Tell whether squeue may hide the jobs of other users."""
    return bool({"jobs", "all"} & set(slurm_config(cluster).get("PrivateData", "").split(",")))


def node_names(partition: str | None, cluster: str | None = None) -> list[str]:
    """List the nodes of a partition, or of the cluster."""
    where = ["-p", partition] if partition else []
    text = ask_optional(["sinfo", "-h", "-a", "-N", "-o", "%N", *where], cluster) or ""
    return sorted(set(text.split()))


def ended_jobs(jobs: Collection[str], cluster: str | None = None) -> dict[str, QueueLine]:
    """Read ended jobs from accounting; empty where there is no accounting."""
    found: dict[str, QueueLine] = {}
    numbers = {job.split("_")[0] for job in jobs}
    for some in chunks(sorted(number for number in numbers if number.isdecimal())):
        command = ["sacct", "-n", "-P", "-X", "-j", ",".join(some)]
        text = ask_optional([*command, "-o", ACCOUNTED], cluster)
        if text is None:
            break
        found |= read_accounting(text, cluster)
    return {job: line for job, line in found.items() if not line.live}


def default_cluster() -> str | None:
    """The name of the cluster that this host's commands reach; None if it does not say.

    Another host's commands may reach another one, so the ledger needs the name.
    """
    conf = os.environ.get("SLURM_CONF", "")
    if conf not in _names and (name := slurm_config().get("ClusterName")):
        _names[conf] = name
    return _names.get(conf)


def slurm_config(cluster: str | None = None, patience: float | None = None) -> dict[str, str]:
    """Read Slurm's own settings; empty where users may not see them.

    Args:
        patience: as in `current_queue`.
    """
    try:
        text = run_with_retries(["scontrol", "show", "config"], cluster, patience)
    except SlurmError:
        return {}
    return dict(re.findall(r"^(\w+)\s+= (.*\S)", text, re.M))
