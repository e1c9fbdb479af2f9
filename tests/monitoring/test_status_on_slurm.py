"""What `status` tells of jobs on a real Slurm at the moments at which it is easily wrong."""

import re
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults import SlurmStudy
from tests.waiting import wait_for


def test_a_job_that_runs_is_starting_until_a_process_has_its_run(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    """It does not wait for a node any more."""
    go = tmp_path / "go"
    waiting = f"until [ -e '{go}' ]; do sleep 0.1; done"
    study = SlurmStudy(tmp_path, shards, slurm={"setup": [waiting]})
    study.launch()
    wait_for(lambda: cluster.state(study.job()) == "RUNNING")
    told = study.status()
    assert told["counts"]["starting"] == 1
    assert told["runs"][study.parent.id]["node"] in cluster.names
    said = study.call("status", "--why", study.parent.id)
    assert "meaning: Slurm runs its job, and no process works on it yet" in said
    go.touch()
    wait_for(lambda: study.status()["counts"]["running"])
    study.call("cancel")


def test_jobs_cancelled_a_moment_ago_are_neither_running_nor_lost(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(1)
    study.call("cancel")
    told = study.status()
    assert told["cancelled"] and told["counts"]["missing"] == len(study.plan.runs)
    assert {each["why"] for each in told["runs"].values()} <= {"cancelled", "being cancelled"}
    assert "this study was cancelled; to go on: python -m hpc_xfer.launch" in study.call("status")


def test_a_job_that_somebody_cancels_by_scancel_is_at_no_moment_running_or_lost(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(1)
    seen = []

    def is_cancelled() -> bool:
        seen.append(study.status()["runs"][study.parent.id])
        return seen[-1].get("why") == "cancelled"

    cluster.run("scancel", study.job())
    wait_for(lambda: cluster.state(study.job()) != "RUNNING")
    wait_for(is_cancelled)
    assert {each["state"] for each in seen} <= {"pending", "missing"}, seen
    study.call("cancel")


@pytest.mark.parametrize("shown", ["%i", "%F_[%K]"])
def test_job_takes_what_squeue_prints(
    tmp_path: Path, shards: Path, cluster: Cluster, shown: str
) -> None:
    cluster.drain()
    study = SlurmStudy(tmp_path, shards, draws=3, target=2)
    study.launch()
    (array,) = (
        job for job in cluster.run("squeue", "-h", "-o", shown).splitlines()
        if re.fullmatch(r"\d+_\[\d.*\]", job)
    )  # fmt: skip
    said = study.call("status", "--job", array)
    assert all(run.id in said for run in study.plan.of("finetune"))
    assert study.parent.id not in said


def test_a_study_that_was_never_launched_says_so_with_the_command(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    (line,) = study.call("status").splitlines()
    assert line.startswith("nothing of this study has been launched (its 3 runs are missing)")
    assert "launch it: python -m hpc_xfer.launch" in line


def test_watch_in_a_pipe_is_plain_text_and_json_is_a_line_per_look(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    """A study with nothing in the queue is over after one look."""
    study = SlurmStudy(tmp_path, shards)
    plain = study.call("status", "--watch")
    assert "\x1b" not in plain and plain.endswith("\n\n")
    (line,) = study.call("status", "--watch", "--json").splitlines()
    assert line.startswith('{"schema": 1, "study": "faults"')
    assert study.call("status", "--watch", "--why", study.parent.id).startswith(study.parent.id)
