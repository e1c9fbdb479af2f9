"""Find jobs by their names, and read all jobs a second way, before one is called absent.

    jobs_named(["pre.clip.study.c0ffee.1"])  # {"pre.clip.study.c0ffee.1": "1234"}

A squeue that prints nothing and ends well proves nothing: its answer may be that of a controller
which has just started, or of a wrapper that failed. scontrol is asked about what squeue lacks.
"""

import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator

from hpc_xfer.slurm.commands import answer_of, chunks, failure_of, run_with_retries
from hpc_xfer.slurm.parsing import QueueLine, expanded
from hpc_xfer.slurm.queue import current_user

# The name may contain anything, also what looks like the fields behind it.
_HEAD = re.compile(
    r"JobId=(?P<raw>\d+) (?:ArrayJobId=(?P<array>\d+) (?:ArrayTaskId=(?P<tasks>\S+) )?"
    r"(?:ArrayTaskThrottle=\d+ )?)?(?:HetJobId=\S+ HetJobOffset=\S+ (?:HetJobIdSet=\S+ )?)?"
    r"JobName=(?P<name>.*?) UserId=(?P<user>\S+?)\((?P<uid>\d+)\) ",
    re.S,
)
_OWNER = re.compile(r" UserId=\S+\(\d+\) ")


def jobs_named(
    names: Collection[str], cluster: str | None = None, only_live: bool = False
) -> dict[str, str]:
    """The number of our job of each name, of an array as a whole; of several, the live or last one.

    A name that is absent from the answer belongs to no job that Slurm still knows.

    Args:
        only_live: leave out jobs that have ended; Slurm keeps some that it refused as failed.

    Raises:
        SlurmError: Slurm does not answer.
    """
    wanted = sorted(set(names))
    found = _by_name(_lines_named(wanted, cluster), only_live)
    if len(found) < len(wanted):
        found = _by_name(known_jobs(cluster), only_live) | found
    return {name: found[name] for name in wanted if name in found}


def known_jobs(cluster: str | None = None) -> list[QueueLine]:
    """Every job and element of ours that the controller knows, by scontrol, in one call.

    Raises:
        SlurmError: Slurm does not answer.
    """
    command = ["scontrol", "--oneliner", "--all", "show", "job"]
    return read_jobs(run_with_retries(command, cluster), os.geteuid(), cluster)


def known_job(job: str, cluster: str | None = None) -> list[QueueLine] | None:
    """A job of ours as the controller knows it; empty where it is gone, None if nothing is said.

    Raises:
        SlurmError: Slurm does not answer.
    """
    done = answer_of(["scontrol", "--oneliner", "--all", "show", "job", job], cluster=cluster)
    if done.returncode and "Invalid job id" in done.stderr:
        return []
    if done.returncode:
        raise failure_of("scontrol", done)
    return read_jobs(done.stdout, os.geteuid(), cluster) or None


def read_jobs(text: str, uid: int, cluster: str | None = None) -> list[QueueLine]:
    """Read the text of `scontrol --oneliner show job`: the jobs of one user.

    A job whose own texts imitate the fields of scontrol is left out: none of ours does.
    """
    jobs = re.split(r"\n(?=JobId=\d+ )", text)  # a name may contain line breaks
    return [line for job in jobs for line in _lines_of(job, uid, cluster)]


def _lines_of(text: str, uid: int, cluster: str | None) -> Iterator[QueueLine]:
    head = _HEAD.match(text)
    if head is None or int(head["uid"]) != uid or len(_OWNER.findall(text)) > 1:
        return
    array, tasks = head["array"], head["tasks"]
    fields = text[head.end() :]
    output = re.search(r" StdOut=(.*?)(?: \w+=|\n|$)", fields)  # a path may have blanks
    for job in expanded(f"{array}_[{tasks}]") if array and tasks else [array or head["raw"]]:
        yield QueueLine(
            job, head["raw"], head["name"], _field(fields, "JobState"), head["user"],
            _field(fields, "NodeList"), _field(fields, "RunTime"), _field(fields, "Reason"),
            _field(fields, "QOS"), cluster, output[1] if output else "",
        )  # fmt: skip


def _field(fields: str, name: str) -> str:
    """The first field of a name; those that a user wrote come last."""
    found = re.search(rf"(?:^|\s){name}=(\S*)", fields)
    return "" if found is None or found[1] == "(null)" else found[1]


def _lines_named(names: list[str], cluster: str | None) -> Iterator[QueueLine]:
    mark = secrets.token_hex(4)
    for some in chunks(names):
        command = ["squeue", "-h", "-a", "-t", "all", "-u", current_user(), "-n", ",".join(some)]
        text = run_with_retries([*command, "-o", f"{mark}|%F|%T|%j"], cluster)
        for row in f"\n{text}".split(f"\n{mark}|")[1:]:
            job, state, name = row.rstrip("\n").split("|", 2)
            yield QueueLine(job, job, name, state)


def _by_name(lines: Iterable[QueueLine], only_live: bool) -> dict[str, str]:
    """The job of each name: the last one that lives, else the last one."""
    found: dict[str, tuple[bool, int]] = {}
    for line in lines:
        if only_live and not line.live:
            continue
        rank = (line.live, int(line.number))
        found[line.name] = max(found.get(line.name, rank), rank)
    return {name: str(job) for name, (_, job) in found.items()}
