"""Submit jobs, and tell a refusal from a full queue and from no answer."""

import os
from pathlib import Path

import pytest

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.batch_script import log_path, script_text
from hpc_xfer.slurm.commands import is_leaking
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import refusal_of, submit_job
from tests.cluster import Cluster
from tests.conftest import Command
from tests.slurm import CPU
from tests.waiting import wait_for


def test_the_users_own_sbatch_variables_do_not_reach_a_job(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SBATCH_PARTITION beats the line in the script; SLURM_* are of a job that submits jobs."""
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    monkeypatch.setenv("SLURM_NTASKS", "7")
    logs = tmp_path / "a folder/logs"
    job = submit_job(Request("x", ("env",), logs, 10), CPU)
    log = log_path(logs, job)
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    assert "SLURM_NTASKS=1\n" in log.read_text()
    assert os.environ["SBATCH_PARTITION"] == "nowhere"
    assert sorted(path.name for path in logs.iterdir()) == [
        f"{job}_0_log.out",
        f"{job}_submission.sh",
    ]


def test_a_job_gets_the_variables_of_its_launcher_though_jobs_export_none_here(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_EXPORT", "NONE")
    monkeypatch.setenv("SLURM_EXPORT_ENV", "NONE")
    monkeypatch.setenv("OF_THE_USER", "yes")
    site = CPU.model_copy(update={"environment": {"OF_THE_SITE": "yes", "MASTER_PORT": "29500"}})
    lines = environment_of_a_job(site, tmp_path, cluster)
    assert {"OF_THE_USER=yes", "OF_THE_SITE=yes", "MASTER_PORT=29500"} <= set(lines)
    assert not [line for line in lines if "EXPORT_ENV=NONE" in line]


def test_variables_of_the_job_or_program_around_a_launch_do_not_reach_its_jobs(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = {
        "SLURM_JOB_ID": "77", "PMI_RANK": "3", "PMIX_NAMESPACE": "a.b", "PMI2_JOBID": "77",
        "OMPI_COMM_WORLD_RANK": "3", "PALS_RANKID": "3", "RANK": "3", "WORLD_SIZE": "8",
        "LOCAL_RANK": "3", "MASTER_ADDR": "n7", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x",
        "CUDA_VISIBLE_DEVICES": "6", "ROCR_VISIBLE_DEVICES": "6", "GPU_DEVICE_ORDINAL": "6",
        "SALLOC_PARTITION": "nowhere", "SLURM_CLUSTERS": "", "HPC_XFER_DEVICE": "cpu",
    }  # fmt: skip
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    lines = environment_of_a_job(CPU, tmp_path, cluster)
    names = {line.partition("=")[0] for line in lines}
    assert names & set(around) == {"SLURM_JOB_ID"} and "SLURM_JOB_ID=77" not in lines


def test_gpus_that_a_user_chose_outside_of_any_job_stay_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert not is_leaking("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert is_leaking("CUDA_VISIBLE_DEVICES") and not is_leaking("SLURM_CONF")


def environment_of_a_job(slurm: Slurm, logs: Path, cluster: Cluster) -> list[str]:
    job = submit_job(Request("x", ("env",), logs, 10), slurm)
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    return log_path(logs, job).read_text().splitlines()


def test_what_slurm_does_not_accept_is_told_in_its_words(tmp_path: Path, cluster: Cluster) -> None:
    request = Request("x", ("true",), tmp_path, 1)
    assert refusal_of(request, CPU) is None
    words = refusal_of(request, Slurm(partition="nowhere", gpu_option="none"))
    assert words is not None and "nvalid partition" in words
    with pytest.raises(SlurmError, match=r"Slurm refused a job: .*nvalid partition") as refused:
        submit_job(request, Slurm(partition="nowhere", gpu_option="none"))
    assert not refused.value.unknown
    assert list(tmp_path.glob("*.sh")) == []


@pytest.mark.parametrize(
    ("says", "job"),
    [
        ("echo 'budget of job 12 checked'; echo Submitted batch job 123", "123"),
        ("echo '123;alpha'", "123"),  # --parsable, in a federation
        ("rm $1; echo Submitted batch job 123", "123"),  # submitit then has no file to rename
    ],
)
def test_a_job_that_slurm_took_is_known_by_its_id(
    tmp_path: Path, command: Command, says: str, job: str
) -> None:
    command("sbatch", says)
    assert submit_job(Request("x", ("true",), tmp_path / "logs", 1), CPU) == job


@pytest.mark.parametrize(
    ("does", "unknown"),
    [
        ("echo thanks", True),
        ("exit 124", True),  # of `timeout`
        ("kill -9 $$", True),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", True),
        ("echo 'Batch job submission failed: Unexpected message received' >&2; exit 1", True),
        ("echo 'error: Munge encode failed: Invalid credential' >&2; exit 1", True),
        ("echo 'Batch job submission failed: Unspecified error' >&2; exit 1", True),
        ("exit 1", True),
        ("echo 'Invalid account' >&2; exit 1", False),
    ],
)
def test_only_what_sbatch_itself_refused_is_no_job_for_sure(
    tmp_path: Path, command: Command, does: str, unknown: bool
) -> None:
    command("sbatch", does)
    with pytest.raises(SlurmError) as error:
        submit_job(Request("x", ("true",), tmp_path / "logs", 1), CPU)
    assert error.value.unknown == unknown


def test_a_script_that_cannot_be_written_is_no_job(tmp_path: Path, command: Command) -> None:
    command("sbatch", "echo Submitted batch job 123")
    logs = tmp_path / "logs"
    logs.write_text("")
    with pytest.raises(SlurmError, match=r"no job was submitted: .*File exists") as error:
        submit_job(Request("x", ("true",), logs, 1), CPU)
    assert not error.value.unknown


def test_the_script_of_another_launch_is_left_alone(tmp_path: Path, command: Command) -> None:
    other = tmp_path / ".submission_file_of_another.sh"
    command("sbatch", f"touch '{other}'; echo Submitted batch job 123")
    submit_job(Request("x", ("true",), tmp_path, 1), CPU)
    assert other.exists()
    assert [path.name for path in tmp_path.glob(".submission_file_*")] == [other.name]


@pytest.mark.parametrize("relay", [False, True])
def test_the_private_methods_of_submitit_that_we_use_still_exist(
    tmp_path: Path, cluster: Cluster, relay: bool
) -> None:
    """Should this fail, a version of submitit calls them otherwise: see slurm/batch_script.py."""
    cluster.drain()
    request = Request("x", ("echo", "a b"), tmp_path / "a folder", 10, array=3, relay=relay)
    job = submit_job(request, CPU)
    script = cluster.run("scontrol", "write", "batch_script", job, "-")
    assert script.strip() == script_text(request, CPU).strip()
    assert ("--signal=USR2@120" in script) != relay
