"""Cancel, requeue and release jobs of a real Slurm."""

from pathlib import Path

from hpc_xfer.slurm.queue import current_queue
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from tests.cluster import Cluster
from tests.slurm import CPU
from tests.waiting import wait_for


def test_a_child_of_a_parent_that_failed_does_not_wait_for_ever(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.drain()
    parent = submit_job(Request("pre.x.1", ("false",), tmp_path, 1), CPU)
    child = submit_job(Request("ft1.x.1", ("true",), tmp_path, 1, after_ok=(parent,)), CPU)
    cluster.resume()
    wait_for(lambda: not current_queue().lines[child].live)
    assert current_queue().lines[child].state == "CANCELLED"
