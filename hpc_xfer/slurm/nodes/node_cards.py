"""Find the types of the GPUs in the partitions of a site: `a100` in `gpu:a100:4(S:0-1)`."""

import re

from hpc_xfer.config.site import Slurm
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.commands import ask_optional

_GRES = ["sinfo", "--noheader", "--format=%P|%G"]


def gpu_types(slurm: Slurm) -> list[str]:
    """List the types that Slurm names, each once; none where it names none or does not answer."""
    wanted = slurm.partition.split(",") if slurm.partition else None
    found: dict[str, None] = {}
    for line in (ask_optional(_GRES, cluster_of(slurm)) or "").splitlines():
        partition, _, gres = line.strip().partition("|")
        if partition.endswith("*") if wanted is None else partition.rstrip("*") in wanted:
            found |= dict.fromkeys(re.findall(r"(?:^|,)gpu:([^:,()]+):\d+", gres))
    return list(found)
