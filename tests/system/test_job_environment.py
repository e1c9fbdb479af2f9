"""Who a process is in Slurm, and what records keep of it."""

import pytest

from hpc_xfer.system import provenance
from hpc_xfer.system.job_environment import current_job, restart_count


@pytest.fixture(autouse=True)
def outside_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "RESTART_COUNT"):
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
