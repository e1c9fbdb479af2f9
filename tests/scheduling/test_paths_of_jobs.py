"""Jobs are told paths as the user wrote them: what a link is here may be a mount on the nodes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from hpc_xfer.slurm.sbatch import is_submitting
from hpc_xfer.store.store import Store
from tests.cluster import Cluster
from tests.conftest import ROOT
from tests.faults import SlurmStudy
from tests.waiting import wait_for


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A link, as /scratch often is on a login node."""
    (tmp_path / "of the login node").mkdir()
    (tmp_path / "scratch").symlink_to("of the login node")
    return tmp_path / "scratch"


def become_another_place(scratch: Path) -> None:
    """Let the path lead to the same files elsewhere, as on a node; the first folder is gone."""
    elsewhere = scratch.parent / "of the compute nodes"
    scratch.resolve().rename(elsewhere)
    scratch.unlink()
    scratch.symlink_to(elsewhere)


def call(scratch: Path, study: SlurmStudy, module: str, *more: str) -> str:
    """A command as typed after `cd /scratch/...`, with relative paths."""
    command = study.command(module, *more)
    short = [word.removeprefix(f"{scratch}/") for word in command]
    env = {**os.environ, "PWD": str(scratch), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(short, cwd=scratch, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_job_starts_where_only_the_path_that_the_user_wrote_exists(
    scratch: Path, shards: Path, cluster: Cluster
) -> None:
    cluster.drain()
    study = SlurmStudy(scratch, shards, method="scratch")
    call(scratch, study, "launch")
    become_another_place(scratch)
    cluster.resume()
    study.ends(cluster)
    assert study.store.study("faults").report.exists()


def test_nothing_tells_a_job_where_a_link_leads(scratch: Path, shards: Path) -> None:
    study = SlurmStudy(scratch, shards, method="scratch")
    jobs = json.loads(call(scratch, study, "launch", "--on", "slurm", "--dry-run", "--json"))
    assert jobs["jobs"]
    by_hand = call(scratch, study, "launch", "--by-hand")
    plan = study.store.study("faults").plan.read_text()
    for text in (*(job["script"] for job in jobs["jobs"]), by_hand, plan):
        assert "of the login node" not in text
        assert str(scratch) in text


def test_a_dry_run_writes_no_snapshot(scratch: Path, shards: Path) -> None:
    study = SlurmStudy(scratch, shards, method="scratch")
    call(scratch, study, "launch", "--on", "slurm", "--dry-run")
    assert not study.store.root.exists()


def test_two_spellings_of_a_path_are_one_store(scratch: Path) -> None:
    assert Store(scratch / "runs").tag == Store(scratch.resolve() / "runs").tag


def test_an_sbatch_of_another_launch_is_seen_by_whatever_path_it_was_told(scratch: Path) -> None:
    """It may outlive its launcher, and then nothing must be submitted again."""
    logs = scratch.resolve() / "logs/%A_%a_log.out"
    call = ["sh", "-c", "read line", "sbatch", f"--output={logs}"]
    with subprocess.Popen(call, stdin=subprocess.PIPE) as sbatch:
        wait_for(lambda: is_submitting(scratch / "logs"))  # Linux shows its words a moment late
        assert not is_submitting(scratch / "other/logs")
        sbatch.communicate()
    assert not is_submitting(scratch / "logs")
