"""Say what a job asks of a node and what the nodes have, where Slurm says only that none fits.

explained("Requested node configuration is not available", parameters, cluster)
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.commands import run_with_retries
from hpc_xfer.system.terminal import counted

_NO_NODE = "node configuration is not available"
# --exact: else nodes that differ are one line with the least of each number
_NODES = ["sinfo", "--noheader", "--all", "--exact", "--format=%P|%c|%m|%G|%D|%T"]
_KINDS_TOLD = 3  # of GPUs
NONE_IS_UP = "no node of the partition is up"  # then Slurm says that none fits, whatever was asked
_NOT_UP = re.compile(r"(drain|down|fail|maint|inval|unknown|no_resp).*|.*\*")  # * does not answer


def explained(complaint: str, parameters: Mapping[str, Any], cluster: str | None) -> str:
    """Return what Slurm said; of a node that no partition has, with the numbers of both sides.

    Args:
        parameters: of the job, see `sbatch_parameters`.
    """
    if _NO_NODE not in complaint:
        return complaint
    found = _have(parameters.get("partition"), cluster)
    if found is None:
        return complaint
    have, not_up = found
    if not_up:
        return f"{complaint} ({NONE_IS_UP}: {not_up})"
    return f"{complaint} (asked of a node: {_asked(parameters)}; nodes have at most {have})"


def _asked(parameters: Mapping[str, Any]) -> str:
    """CPUs, memory and GPUs of one node, and what narrows the choice of nodes."""
    cpus = parameters["ntasks_per_node"] * parameters["cpus_per_task"]
    parts = [counted(cpus, "CPU")]
    megabytes = parameters.get("mem") or parameters.get("mem_per_cpu")
    if megabytes is not None:
        of_node = 1 if "mem" in parameters else cpus
        parts.append(_gigabytes(of_node * int(megabytes.removesuffix("M"))))
    gpus = parameters.get("gpus_per_node") or parameters.get("gpus_per_task")
    if gpus is not None:
        each = " for each task" if "gpus_per_task" in parameters else ""
        parts.append(f"GPUs: {gpus}{each}")
    parts += [parameters["gres"]] if "gres" in parameters else []
    parts += [f"{key} {parameters[key]}" for key in ("constraint", "exclude") if key in parameters]
    parts += [f"on {parameters['nodes']} nodes"] if parameters.get("nodes", 1) > 1 else []
    return ", ".join(parts)


def _gigabytes(megabytes: int) -> str:
    return f"{megabytes / 1024:.4g} GB"


def _have(partition: str | None, cluster: str | None) -> tuple[str, str] | None:
    """Tell what nodes have, and their states where none is up; None where Slurm tells nothing.

    The first: the most CPUs and memory of a node, and kinds of GPUs.
    """
    try:
        lines = run_with_retries(_NODES, cluster).splitlines()
    except SlurmError:
        return None
    wanted = partition.split(",") if partition else None
    cpus: list[int] = []
    memory: list[int] = []
    kinds: dict[str, None] = {}
    states: Counter[str] = Counter()
    for line in lines:
        name, count, megabytes, gres, nodes, state = (line.strip().split("|", 5) + [""] * 6)[:6]
        is_ours = name.endswith("*") if wanted is None else name.rstrip("*") in wanted
        if is_ours and count.isdigit() and megabytes.isdigit():
            cpus.append(int(count))
            memory.append(int(megabytes))
            kinds[gres] = None
            states[state] += int(nodes) if nodes.isdigit() else 1
    if not cpus:
        return None
    told = [gres for gres in kinds if gres not in ("", "(null)")][:_KINDS_TOLD]
    not_up = ", ".join(f"{number:,} {state}" for state, number in states.items())
    return (
        ", ".join([counted(max(cpus), "CPU"), _gigabytes(max(memory)), *told]),
        not_up if all(map(_NOT_UP.fullmatch, states)) else "",
    )
