"""One login node, several clusters: every command goes to the cluster of the site file."""

from pathlib import Path

import pytest

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError, StudyError
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.limits import submit_limits
from hpc_xfer.slurm.queue import current_queue, ended_jobs, node_names, slurm_config
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import refusal_of, submit_job
from hpc_xfer.slurm.submitted import jobs_named, known_jobs
from tests.cluster import Cluster
from tests.conftest import Command
from tests.slurm import CPU
from tests.waiting import wait_for

GPU = CPU.model_copy(update={"cluster": "gpu"})


def test_the_cluster_is_that_of_the_site_file_else_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLURM_CLUSTERS", raising=False)
    assert cluster_of(CPU) is None
    monkeypatch.setenv("SLURM_CLUSTERS", "login")
    assert (cluster_of(CPU), cluster_of(GPU)) == ("login", "gpu")


def test_a_study_runs_on_one_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "login,gpu")
    assert cluster_of(GPU) == "gpu"
    with pytest.raises(StudyError, match=r"set slurm\.cluster in the site file$"):
        cluster_of(CPU)


def test_a_heading_of_squeue_is_none_of_its_rows(command: Command) -> None:
    """Some versions print it even where no headings are wanted."""
    command("sinfo", "echo 'CLUSTER: gpu'; echo n1; echo n2")
    assert node_names(None, "gpu") == ["n1", "n2"]


def test_every_command_goes_to_the_cluster_of_the_site_file(
    two_clusters: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    login, gpu = two_clusters
    assert slurm_config("gpu")["ClusterName"] == "gpu"
    assert node_names(None, "gpu") == gpu.names != node_names(None)
    assert refusal_of(Request("x", ("true",), tmp_path, 1), GPU) is None
    once = f"[ -e {tmp_path}/go ] || {{ touch {tmp_path}/runs; sleep 100; }}; env"
    job = submit_job(Request("ft1.x.1", ("bash", "-c", once), tmp_path, 10), GPU)
    assert (login.live(), gpu.live()) == ([], [job])
    assert jobs_named(["ft1.x.1"], "gpu") == {"ft1.x.1": job} and jobs_named(["ft1.x.1"]) == {}
    wait_for((tmp_path / "runs").exists)
    known = [(line.job, line.cluster) for line in known_jobs("gpu") if line.live]
    assert known == [(job, "gpu")]  # beside what other tests left, which has ended
    assert submit_limits(GPU, current_queue("gpu")).room != submit_limits(CPU, current_queue()).room
    (tmp_path / "go").touch()
    login.run("scontrol", "-M", "gpu", "requeue", job)
    wait_for(lambda: gpu.state(job) == "COMPLETED")
    assert "HPC_XFER_CLUSTER=gpu\n" in log_path(tmp_path, job).read_text()
    gpu.drain()
    name = "ft2.x.study.c0ffee-30e858.1"
    waiting = submit_job(Request(name, ("true",), tmp_path, 10), GPU)
    assert cancel_jobs([current_queue("gpu").lines[waiting]], "30e858") == []
    wait_for(lambda: waiting in ended_jobs([waiting], "gpu"))
    assert not [job for job in ended_jobs([waiting]).values() if job.name == name]


def test_a_job_asks_its_own_cluster_and_is_requeued_by_it(
    two_clusters: tuple[Cluster, Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On its nodes no name is needed, so that none of them has to reach the accounting."""
    login, gpu = two_clusters
    monkeypatch.setenv("SLURM_CLUSTERS", "gpu")
    once = f"[ -e {tmp_path}/was ] || {{ touch {tmp_path}/was; exit 85; }}"
    site = CPU.model_copy(update={"setup": ("export SLURM_CLUSTERS=login",)})
    job = submit_job(Request("ft1.x.1", ("bash", "-c", once), tmp_path, 10), site)
    wait_for(lambda: gpu.state(job) == "COMPLETED")
    assert login.live() == []


def test_a_cluster_that_does_not_exist_is_told_with_the_way_out(
    two_clusters: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    with pytest.raises(SlurmError, match=r"No cluster 'nope' .*; correct slurm\.cluster"):
        current_queue("nope")
    site = Slurm(cluster="nope", gpu_option="none")
    with pytest.raises(SlurmError, match="No cluster 'nope'") as error:
        submit_job(Request("x", ("true",), tmp_path, 1), site)
    assert not error.value.unknown
