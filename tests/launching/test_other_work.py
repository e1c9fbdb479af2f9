"""Runs at work outside the jobs of the study, on a real Slurm."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults import ROOT, SlurmStudy
from tests.launching.seen_from_outside import once_each, runs_in_queue


@pytest.fixture
def study(tmp_path: Path, shards: Path, cluster: Cluster) -> SlurmStudy:
    return SlurmStudy(tmp_path, shards, steps=1000)


@pytest.fixture
def held(study: SlurmStudy, cluster: Cluster) -> SlurmStudy:
    """Its jobs are in the queue, where they stay."""
    cluster.drain()
    study.launch()
    cluster.run("scontrol", "hold", study.job())
    cluster.resume()
    return study


@pytest.fixture
def interactive(held: SlurmStudy, cluster: Cluster) -> Iterator["subprocess.Popen[bytes]"]:
    """A launch without Slurm in an interactive job; it has begun with the pre-training."""
    command = ["salloc", "-n1", *held.command("launch", "--on", "local", "--jobs", "1")]
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere) as process:
        held.reaches(10)
        yield process
        process.terminate()


def test_a_run_at_work_in_an_interactive_job_is_running_though_its_own_job_waits(
    held: SlurmStudy, interactive: "subprocess.Popen[bytes]", cluster: Cluster
) -> None:
    told = held.status()["runs"][held.parent.id]
    assert told["state"] == "running" and ", in job " in told["why"]
    assert held.launch()["submitted"]["runs"] == 0
    assert runs_in_queue(held, cluster) == once_each(held)
