"""Find how many CPUs a GPU's share of a node is, where the site file leaves it open.

    site = with_cpus(site)      # cpus_per_gpu is a number, or Slurm does not tell

sbatch refuses jobs that ask for more CPUs than a node has, so it is the node that decides.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.commands import ask_optional, run_with_retries

_MOST = 16  # eight loading processes, eight threads that decode evaluation images
_NODES = ["sinfo", "--noheader", "--Node", "--format=%P|%N|%c|%B|%G"]


def with_cpus(site: Site, patience: float | None = None) -> Site:
    """Return the site with `cpus_per_gpu` filled in; unchanged where Slurm tells nothing.

    Args:
        patience: as in `run_with_retries`.
    """
    slurm = site.slurm
    if slurm.cpus_per_gpu is not None or slurm.gpu_option == "none":
        return site
    cpus = _cpus_per_gpu(slurm, patience)
    if cpus is None:
        return site
    return site.model_copy(update={"slurm": slurm.model_copy(update={"cpus_per_gpu": cpus})})


@dataclass(frozen=True)
class GpuNode:
    """A node with GPUs, as `sinfo` lists it."""

    name: str
    cpus: int  # that a job may have
    gpus: int


def _cpus_per_gpu(slurm: Slurm, patience: float | None) -> int | None:
    cluster = cluster_of(slurm)
    try:
        nodes = list(_nodes(run_with_retries(_NODES, cluster, patience), slurm))
    except SlurmError:  # not a login node, or no answer: then nothing can be submitted either
        return None
    if not nodes:
        return None
    # Nodes of one kind are alike, and there may be thousands: one of each is asked.
    first = {(node.cpus, node.gpus): node for node in reversed(nodes)}
    kinds = list(first.values())
    names = ",".join(node.name for node in kinds)
    shown = ask_optional(["scontrol", "show", "node", "--oneliner", names], cluster) or ""
    usable = dict(_usable(shown))
    least = min(min(node.cpus, usable.get(node.name, node.cpus)) // node.gpus for node in kinds)
    return max(1, min(_MOST, least))


def _nodes(text: str, slurm: Slurm) -> Iterator[GpuNode]:
    """Yield the nodes with GPUs of the type, in the partitions of the site, else the default."""
    wanted = slurm.partition.split(",") if slurm.partition else None
    for line in text.splitlines():
        partition, name, cpus, most, gres = (line.strip().split("|", 4) + [""] * 5)[:5]
        gpus = _gpus(gres, slurm.gpu_type)
        chosen = partition.endswith("*") if wanted is None else partition.rstrip("*") in wanted
        if not (chosen and gpus and cpus.isdigit()):
            continue
        count = min(int(cpus), int(most)) if most.isdigit() else int(cpus)
        yield GpuNode(name, count, gpus)


def _gpus(gres: str, kind: str | None) -> int:
    """Count all GPUs in `gpu:a100:4(S:0-1),gpu:v100:2`; 0 where the type is not among them."""
    found = re.findall(r"(?:^|,)gpu(?::([^:,(]+))?:(\d+)", gres)
    has_kind = kind is None or any(name == kind for name, _ in found)
    return sum(int(count) for _, count in found) if has_kind else 0


def _usable(text: str) -> Iterator[tuple[str, int]]:
    """Yield the CPUs that Slurm gives to jobs: without those that it keeps for itself."""
    for line in text.splitlines():
        name, cpus = re.search(r"NodeName=(\S+)", line), re.search(r"CPUEfctv=(\d+)", line)
        if name and cpus:
            yield name[1], int(cpus[1])
