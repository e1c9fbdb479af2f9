"""Find how many more jobs Slurm takes from this user, and how large an array may be."""

import re
from collections.abc import Iterator, Mapping

from hpc_xfer.config.site import Slurm
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.commands import ask_optional
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import current_user, slurm_config
from hpc_xfer.slurm.request import Limits

_SPARE_JOBS = 100  # that we leave of MaxJobCount, which all users share


def submit_limits(slurm: Slurm, queue: Queue) -> Limits:
    """The size of an array, and the number of elements that still fit into the queue."""
    return _limits(slurm, queue, slurm_config(cluster_of(slurm)))


def standing_limits(slurm: Slurm) -> Limits | None:
    """The limits of a user who has no job in an empty queue; None where Slurm does not tell."""
    config = slurm_config(cluster_of(slurm), patience=0.0)
    return _limits(slurm, Queue(), config) if config else None


def _limits(slurm: Slurm, queue: Queue, config: Mapping[str, str]) -> Limits:
    rooms = list(_submit_rooms(slurm, queue, config.get("ClusterName")))
    for most in _numbers(config, "MaxJobCount"):
        rooms.append(most - max(1, min(_SPARE_JOBS, most // 10)) - queue.everybodys)
    if slurm.max_jobs is not None:
        rooms.append(slurm.max_jobs - queue.mine)
    return Limits(_array_size(slurm, config), max(0, min(rooms)) if rooms else None)


def _array_size(slurm: Slurm, config: Mapping[str, str]) -> int:
    """The most elements of an array: Slurm limits their index, and may limit their number too."""
    most = [next(_numbers(config, "MaxArraySize"), Limits.array)]
    parameters = config.get("SchedulerParameters", "")
    most += map(int, re.findall(r"\bmax_array_tasks=(\d+)", parameters))
    most += [slurm.max_array] if slurm.max_array is not None else []
    return max(1, min(most))


def _submit_rooms(slurm: Slurm, queue: Queue, cluster: str | None) -> Iterator[int]:
    """Room by each limit of our association and QOS; none without accounting."""
    columns = ["DefaultAccount", "Account", "Partition", "DefaultQOS", "MaxSubmitJobs",
               "GrpSubmitJobs"]  # fmt: skip
    command = ["sacctmgr", "-n", "-P", "show", "user", current_user(), "withassoc"]
    command += [f"cluster={cluster}"] if cluster else []  # one slurmdbd may serve several
    qos = {slurm.qos} if slurm.qos else set()
    for row in _table(command, columns):
        if row["Account"] != (slurm.account or row["DefaultAccount"]):
            continue
        if row["Partition"] not in ("", slurm.partition):
            continue
        yield from (most - queue.mine for most in _numbers(row, "MaxSubmitJobs", "GrpSubmitJobs"))
        qos |= {row["DefaultQOS"] or "normal"} if not slurm.qos else set()
    columns = ["Name", "MaxSubmitPU", "MaxSubmitPA", "GrpSubmit"]
    for row in _table(["sacctmgr", "-n", "-P", "show", "qos"], columns) if qos else []:
        if row["Name"] in qos:
            mine = queue.mine_by_qos.get(row["Name"], 0)
            yield from (most - mine for most in _numbers(row, *columns[1:]))


def _numbers(row: Mapping[str, str], *keys: str) -> Iterator[int]:
    return (int(row[key]) for key in keys if row.get(key, "").isdigit())


def _table(command: list[str], columns: list[str]) -> list[dict[str, str]]:
    text = ask_optional([*command, f"format={','.join(columns)}"]) or ""
    rows = (line.split("|") for line in text.splitlines())
    return [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]
