"""CPUs that a GPU gets where the site file leaves it open."""

from collections.abc import Callable

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.slurm.nodes.node_cpus import with_cpus
from tests.cluster import Cluster
from tests.conftest import Command


def cpus_of(**slurm: object) -> int | None:
    return with_cpus(Site(slurm=Slurm.model_validate(slurm))).slurm.cpus_per_gpu


def test_a_gpu_gets_its_share_of_its_node(cluster: Cluster) -> None:
    """Nodes of 16 CPUs and 4 GPUs."""
    assert cpus_of() == cpus_of(partition="gpu") == cpus_of(gpus_per_node=2) == 4


def test_cpus_that_slurm_keeps_for_itself_are_not_asked_for(
    make_cluster: Callable[..., Cluster],
) -> None:
    make_cluster(nodes=1, cpus=16, gpus=2, partitions={"gpu": "Default=YES MaxCPUsPerNode=12"})
    assert cpus_of() == 6


def test_a_number_of_the_site_and_a_cluster_without_gpus_are_left_alone(command: Command) -> None:
    command("sinfo", "echo 'gpu*|n1|64|UNLIMITED|gpu:4'")
    assert cpus_of(cpus_per_gpu=3) == 3
    assert cpus_of(gpu_option="none") is None


NODES = """\
cpu*|n0|128|UNLIMITED|(null)
a100|n1|128|UNLIMITED|gpu:a100:8(S:0-1)
a100|n2|128|UNLIMITED|gpu:a100:8(S:0-1)
mixed|n3|48|40|gpu:v100:4,nvme:1
mixed|n4|96|UNLIMITED|gpu:h100:4(S:0),gpu:v100:2
huge|n5|256|UNLIMITED|gpu:2
"""
SHOWN = "NodeName=n1 CPUAlloc=0 CPUEfctv=120 CPUTot=128\nNodeName=n4 CPUEfctv=96 CPUTot=96"


@pytest.mark.parametrize(
    ("slurm", "expected"),
    [
        ({"partition": "a100"}, 15),  # eight CPUs of a node are Slurm's own
        ({"partition": "mixed"}, 10),  # the least of its nodes
        ({"partition": "a100,mixed"}, 10),
        ({"partition": "mixed", "gpu_type": "h100"}, 16),  # shared with the others of the node
        ({"partition": "huge"}, 16),
        ({"partition": "nowhere"}, None),
        ({}, None),  # the default partition has no GPUs
    ],
)
def test_partitions_types_and_limits_decide(
    slurm: dict[str, str], expected: int | None, command: Command
) -> None:
    command("sinfo", f"cat <<'END'\n{NODES}END")
    command("scontrol", f"cat <<'END'\n{SHOWN}\nEND")
    assert cpus_of(**slurm) == expected


def test_where_slurm_is_not_there_nothing_is_filled_in(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_XFER_SLURM_PATIENCE", "0")
    command("sinfo", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert cpus_of() is None
