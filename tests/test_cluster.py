"""The Slurm of the tests does what a Slurm does, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import Cluster, ClusterError
from tests.waiting import wait_for

pytestmark = pytest.mark.slurm


def test_a_job_runs_on_two_nodes(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(f"srun sh -c 'echo $SLURMD_NODENAME >> {tmp_path}/nodes'", "-N2")
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    assert sorted((tmp_path / "nodes").read_text().split()) == ["n1", "n2"]


def test_a_job_gets_the_gpus_it_asks_for(cluster: Cluster) -> None:
    assert cluster.run("srun", "--gres=gpu:2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES") == "0,1"


def test_several_jobs_share_a_node(cluster: Cluster) -> None:
    cluster.drain("n2", "n3", "n4")
    jobs = [cluster.submit("sleep 100", "-c4") for _ in range(3)]
    wait_for(lambda: [cluster.state(job) for job in jobs] == ["RUNNING"] * 3)


def test_a_requeued_job_comes_back_soon(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(f"echo $SLURM_RESTART_COUNT >> {tmp_path}/starts; sleep 100")
    wait_for((tmp_path / "starts").exists)
    cluster.run("scontrol", "requeue", job)
    wait_for(lambda: (tmp_path / "starts").read_text() == "\n1\n")


def test_an_urgent_job_sends_another_back_to_the_queue(cluster: Cluster) -> None:
    job = cluster.submit("sleep 100", "-N4", "--exclusive")
    wait_for(lambda: cluster.state(job) == "RUNNING")
    urgent = cluster.submit("sleep 100", "-N1", "-p", "urgent")
    wait_for(lambda: cluster.state(urgent) == "RUNNING")
    wait_for(lambda: cluster.state(job) == "PENDING")


def test_a_dead_slurmd_gives_node_fail(
    make_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    cluster = make_cluster(nodes=2, settings={"SlurmdTimeout": "10"})
    job = cluster.submit(f"touch {tmp_path}/began; sleep 1000", "--no-requeue", "-w", "n2")
    # RUNNING is not enough: a job that its slurmd has not begun is requeued, --no-requeue or not.
    wait_for((tmp_path / "began").exists)
    cluster.kill_node("n2")
    wait_for(lambda: cluster.state(job) == "NODE_FAIL")


def test_a_job_that_is_known_survives_its_controller(cluster: Cluster) -> None:
    job = cluster.submit("sleep 100")
    wait_for(lambda: cluster.state(job) == "RUNNING")
    cluster.stop_controller()
    with pytest.raises(ClusterError, match="Unable to contact slurm controller"):
        cluster.live()
    cluster.start_controller()
    assert cluster.state(job) == "RUNNING"
