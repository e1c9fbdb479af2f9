"""Where no node fits, both what was asked and what nodes have is told."""

from pathlib import Path

import pytest

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.nodes.node_limits import explained
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import refusal_of, submit_job
from tests.cluster import Cluster
from tests.conftest import Command

NO_NODE = "Requested node configuration is not available"
JOB = {"ntasks_per_node": 4, "cpus_per_task": 8, "partition": "gpu"}
SINFO = """cat <<'END'
gpu*|64|250000|gpu:a100:4|20|idle
gpu*|128|500000|gpu:h100:8|1|down*
cpu|256|1000000|(null)|4|mixed
END"""


def test_a_job_too_large_for_any_node_is_refused_with_both_numbers(
    tmp_path: Path, cluster: Cluster
) -> None:
    request = Request("pre", ("true",), tmp_path, minutes=1, tasks=4)
    slurm = Slurm(gpu_option="none", gpus_per_node=4, memory_per_gpu=60, cpus_per_gpu=2)
    words = refusal_of(request, slurm)
    asked = "(asked of a node: 8 CPUs, 240 GB; nodes have at most 16 CPUs, 15.62 GB, gpu:4)"
    assert words is not None and words.endswith(asked)
    with pytest.raises(SlurmError, match="nodes have at most 16 CPUs") as caught:
        submit_job(request, slurm)
    assert not caught.value.unknown  # nothing was submitted, for sure


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({"mem": "245760M", "gpus_per_node": "a100:4"}, "32 CPUs, 240 GB, GPUs: a100:4"),
        ({"mem_per_cpu": "4096M", "gres": "gpu:4"}, "32 CPUs, 128 GB, gpu:4"),
        ({"gpus_per_task": "1"}, "32 CPUs, GPUs: 1 for each task"),
        (
            {"constraint": "a100", "exclude": "n1,n2", "nodes": 2},
            "32 CPUs, constraint a100, exclude n1,n2, on 2 nodes",
        ),
    ],
)
def test_each_way_to_ask_is_understood(more: dict[str, str], asked: str, command: Command) -> None:
    command("sinfo", SINFO)
    have = "128 CPUs, 488.3 GB, gpu:a100:4, gpu:h100:8"
    assert explained(NO_NODE, {**JOB, **more}, None) == (
        f"{NO_NODE} (asked of a node: {asked}; nodes have at most {have})"
    )


def test_a_partition_without_a_node_that_is_up_is_told_from_a_job_that_is_too_large(
    command: Command,
) -> None:
    """Slurm says the same of both."""
    command("sinfo", SINFO.replace("idle", "drained"))
    assert explained(NO_NODE, JOB, None) == (
        f"{NO_NODE} (no node of the partition is up: 20 drained, 1 down*)"
    )


def test_other_complaints_and_a_silent_slurm_add_nothing(command: Command) -> None:
    command("sinfo", "exit 1")
    assert explained("invalid partition specified: x", JOB, None) == (
        "invalid partition specified: x"
    )
    assert explained(NO_NODE, JOB, None) == NO_NODE
