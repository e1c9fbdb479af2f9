"""Find the cluster that a study's jobs go to, where one login node serves several."""

import os
import re

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError, StudyError

CARRIED = "HPC_XFER_CLUSTER"  # tells the jobs which cluster a launch took from SLURM_CLUSTERS


def cluster_of(slurm: Slurm) -> str | None:
    """The cluster of the site file, else of SLURM_CLUSTERS; None for the one of this login node.

    Raises:
        StudyError: SLURM_CLUSTERS names several.
    """
    if slurm.cluster is not None:
        return slurm.cluster
    names = os.environ.get("SLURM_CLUSTERS", "").strip()
    if "," in names or names == "all":
        raise StudyError(
            f"SLURM_CLUSTERS={names} names several clusters, but a study runs on one; set "
            "slurm.cluster in the site file"
        )
    return names or os.environ.get(CARRIED) or None


def cluster_options(cluster: str | None) -> list[str]:
    """Return the options that send a command to a cluster; none in a job of that cluster.

    Raises:
        SlurmError: it is not the name of one cluster; others may write in a ledger.
    """
    if cluster is not None and (cluster == "all" or not re.fullmatch(r"\w[\w-]*", cluster)):
        raise SlurmError(f"{cluster[:40]!r} is not the name of one cluster; correct slurm.cluster")
    if cluster is None or (is_on_a_node() and os.environ.get("SLURM_CLUSTER_NAME") == cluster):
        return []
    return ["-M", cluster]


def is_on_a_node() -> bool:
    """Tell whether this process is in a job, on one of its nodes."""
    return "SLURMD_NODENAME" in os.environ


def without_heading(text: str, cluster: str | None) -> str:
    """Drop the line `CLUSTER: NAME` that squeue and sinfo print first, also with -h."""
    first, _, rest = text.partition("\n")
    return rest if cluster is not None and first == f"CLUSTER: {cluster}" else text
