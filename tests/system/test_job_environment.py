"""Who a process is in Slurm, and what records keep of it."""

import sys
from pathlib import Path

import pytest

from hpc_xfer.config.site import Slurm
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.system import provenance
from hpc_xfer.system.job_environment import (
    ProcessRank,
    array_index,
    current_job,
    current_job_name,
    restart_count,
)
from tests.cluster import Cluster
from tests.conftest import ROOT
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def outside_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOB_ID", "JOB_NAME", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "RESTART_COUNT"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)


def test_outside_slurm_there_is_no_job() -> None:
    assert (current_job(), restart_count()) == (None, 0)
    machine = provenance.machine()
    assert (machine["slurm_job"], machine["slurm_task"], machine["restarts"]) == (None, None, 0)


def test_an_element_of_an_array_has_the_id_of_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1240")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "1234")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert (current_job(), restart_count()) == ("1234_5", 2)
    machine = provenance.machine()
    assert (machine["slurm_job"], machine["slurm_task"], machine["restarts"]) == ("1234", "5", 2)


def test_a_job_that_is_no_array_has_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1234")
    assert current_job() == "1234"
    assert provenance.machine()["slurm_task"] is None


def test_the_name_of_a_job_goes_with_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_NAME", "left over")
    assert current_job_name() is None
    monkeypatch.setenv("SLURM_JOB_ID", "1234")
    assert current_job_name() == "left over"


@pytest.mark.parametrize("task", [None, ""])
def test_an_array_without_the_number_of_its_task_is_known_by_its_job(
    task: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part of the environment may not reach a container or a shell inside the job."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "1234")
    if task is not None:
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    assert (current_job(), array_index()) == ("1234", 0)
    monkeypatch.setenv("SLURM_JOB_ID", "1240")
    assert (current_job(), array_index()) == ("1240", 0)


def test_ranks_of_jobs_of_the_same_number_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers begin at 1 again on a controller that was installed anew."""
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    attempts = set()
    for name in ("pre.a.1", "pre.a.2"):
        monkeypatch.setenv("SLURM_JOB_NAME", name)
        attempts.add(ProcessRank.from_slurm().attempt)
    assert len(attempts) == 2 and all(each.startswith("3-0-") for each in attempts)


def test_a_task_that_srun_starts_sees_the_name_of_its_batch_job(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was submitted from within a job of another name."""
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ask = "from hpc_xfer.system.job_environment import *; print(current_job(), current_job_name())"
    name, command = "ft1.clip.study.c0ffee12ab34.1", (sys.executable, "-c", ask)
    request = Request(name, command, tmp_path, minutes=1, gpus=False, array=2)
    job = submit_job(request, Slurm(gpu_option="none"))
    wait_for(lambda: not cluster.live())
    told = sorted(path.read_text() for path in tmp_path.glob("*_log.out"))
    assert told == [f"{job}_{index} {name}\n" for index in range(2)]
