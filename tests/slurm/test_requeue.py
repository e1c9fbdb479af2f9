"""What a batch script does at its end: ask Slurm to requeue the job, and say why it could not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hpc_xfer.slurm.batch_script import log_path, script_text
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from tests.cluster import Cluster
from tests.conftest import Command
from tests.slurm import CPU, pretraining
from tests.waiting import wait_for


def calls_of_a_job_that_ends(
    code: int, scontrol: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What its batch script calls afterwards."""
    log = tmp_path / "calls"
    log.touch()
    command("srun", f"exit {code}")
    command("sleep", f'echo "sleep $1" >> {log}')
    command("scontrol", f'echo "$*" >> {log}; {scontrol.format(log=log)}')
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):  # of a job that these tests are in
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    text = script_text(pretraining(1), CPU)
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)
    assert done.returncode == code
    (tmp_path / "said").write_text(done.stderr)
    return log.read_text().splitlines()


def test_a_job_asks_to_be_requeued_until_slurmctld_is_back(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_at_the_third = "[ $(grep -c requeue {log}) = 3 ]"
    calls = calls_of_a_job_that_ends(85, back_at_the_third, tmp_path, command, monkeypatch)
    again = ["requeue 12", "sleep 15"]
    assert calls == [*again, *again, "requeue 12", "sleep 120"]


@pytest.mark.parametrize(
    "says",
    [
        "Unable to contact slurm controller (connect failure)",
        "Unexpected message received",
        "Invalid authentication credential",  # munge may come back
    ],
)
def test_a_job_does_not_ask_to_be_requeued_for_ever(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    calls = calls_of_a_job_that_ends(
        85, f"echo '{says}' >&2; exit 1", tmp_path, command, monkeypatch
    )
    assert calls == 20 * ["requeue 12", "sleep 15"]


def test_a_job_that_slurm_ends_to_requeue_it_does_not_say_that_it_could_not_be(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm ends scontrol with the job, often before scontrol has its answer."""
    ended_at_first = "[ $(grep -c requeue {log}) = 2 ] || kill $$"
    calls = calls_of_a_job_that_ends(85, ended_at_first, tmp_path, command, monkeypatch)
    assert calls == ["requeue 12", "sleep 15", "requeue 12", "sleep 120"]
    assert "could not requeue" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("scontrol", "error"),
    [
        ("echo 'Access/permission denied for job 12' >&2; exit 1", "permission denied for job 12"),
        ("echo 'Requested operation is presently disabled' >&2; exit 1", "presently disabled"),
        ("exit 127", ""),
    ],
    ids=["not ours", "requeue is switched off", "a wrapper without scontrol"],
)
def test_a_job_that_can_never_be_requeued_ends_at_once_and_says_why(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, scontrol: str, error: str
) -> None:
    calls = calls_of_a_job_that_ends(85, scontrol, tmp_path, command, monkeypatch)
    assert calls == ["requeue 12"]
    said = (tmp_path / "said").read_text()
    assert "could not requeue this job: " in said and error in said
    assert "the relay, or the next launch, submits its runs again" in said


def test_a_node_without_scontrol_is_not_held_for_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, does in (("srun", "exit 85"), ("sleep", f"touch {tmp_path}/slept")):
        (folder / name).write_text(f"#!/bin/bash\n{does}\n")
        (folder / name).chmod(0o755)
    bash = shutil.which("bash")
    assert bash is not None
    (folder / "bash").symlink_to(bash)
    monkeypatch.setenv("PATH", str(folder))
    text = script_text(pretraining(1), CPU).replace("#!/bin/bash", "")
    done = subprocess.run([bash, "-c", text], capture_output=True, text=True)
    assert done.returncode == 85 and not (tmp_path / "slept").exists()
    assert "could not requeue this job: " in done.stderr
    assert "scontrol: command not found" in done.stderr


def test_a_job_that_failed_does_not_ask_to_be_requeued(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calls_of_a_job_that_ends(1, "true", tmp_path, command, monkeypatch) == []


def test_an_element_that_asks_for_it_is_requeued_alone(tmp_path: Path, cluster: Cluster) -> None:
    """The last element's raw id is that of the whole array."""
    once = 'echo start; [ "$SLURM_ARRAY_TASK_ID" = 0 ] || [ -n "$SLURM_RESTART_COUNT" ] || exit 85'
    wait = 'while [ "$SLURM_ARRAY_TASK_ID" = 0 ] && [ ! -e go ]; do sleep 0.1; done'
    command = ("bash", "-c", f"cd {tmp_path}; {once}; {wait}")
    job = submit_job(Request("ft1.x.1", command, tmp_path, 10, array=2), CPU)
    wait_for(lambda: cluster.state(f"{job}_1") == "COMPLETED")
    (tmp_path / "go").touch()
    wait_for(lambda: cluster.state(f"{job}_0") == "COMPLETED")
    starts = [log_path(tmp_path, f"{job}_{i}").read_text().count("start\n") for i in (0, 1)]
    assert starts == [1, 2]
