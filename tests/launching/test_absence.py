"""One answer of squeue is not believed, on a real Slurm: what it lacks is asked for again."""

import json
from pathlib import Path

import pytest

from hpc_xfer.store.ownership import run_claims
from tests.cluster import Cluster
from tests.conftest import Command
from tests.faults import SlurmStudy
from tests.launching.seen_from_outside import (
    is_now_an_hour_later,
    once_each,
    runs_in_queue,
    squeue_is_right_again,
    squeue_prints_nothing,
    squeue_repeats_itself,
)


def test_a_squeue_that_prints_nothing_makes_no_job_lost(
    queued: SlurmStudy, cluster: Cluster, command: Command
) -> None:
    squeue_prints_nothing(command)
    assert queued.status()["counts"]["pending"] == 3
    told = queued.launch()
    assert (told["submitted"]["runs"], told["in_queue"]) == (0, 3)
    assert runs_in_queue(queued, cluster) == once_each(queued)


def test_an_old_answer_of_squeue_makes_no_job_lost(
    tmp_path: Path, shards: Path, cluster: Cluster, command: Command
) -> None:
    """It is from before the launch."""
    cluster.drain()
    squeue_repeats_itself(command, cluster, tmp_path)
    study = SlurmStudy(tmp_path, shards)
    assert study.launch()["submitted"]["runs"] == 3
    is_now_an_hour_later(study)
    assert study.status()["counts"]["pending"] == 3
    assert study.launch()["submitted"]["runs"] == 0
    assert runs_in_queue(study, cluster) == once_each(study)


def test_an_old_answer_of_squeue_keeps_no_run_for_ever(
    queued: SlurmStudy, cluster: Cluster, command: Command, tmp_path: Path
) -> None:
    """It shows jobs that are gone: the launch after it finds out."""
    squeue_repeats_itself(command, cluster, tmp_path)
    cluster.run("scancel", *cluster.live())
    assert queued.launch(code=None)["submitted"]["runs"] == 0
    squeue_is_right_again(command)
    assert queued.launch()["submitted"]["runs"] == 3
    assert runs_in_queue(queued, cluster) == once_each(queued)


def test_cancel_finds_the_jobs_that_squeue_does_not_show(
    queued: SlurmStudy, cluster: Cluster, command: Command
) -> None:
    squeue_prints_nothing(command)
    assert len(json.loads(queued.call("cancel", "--json"))["cancelled"]) == 3
    assert cluster.live() == []


@pytest.mark.slow
def test_a_pre_training_at_work_keeps_its_claim_whatever_squeue_prints(
    tmp_path: Path, shards: Path, cluster: Cluster, command: Command
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(10)
    is_now_an_hour_later(study)
    squeue_prints_nothing(command)
    assert study.status()["runs"][study.parent.id]["state"] == "running"
    assert study.launch()["submitted"]["runs"] == 0
    claim = run_claims.holder(study.parent_dir)
    assert claim is not None and not claim.get("released")
    step = study.step()
    study.reaches(step + 10)  # it goes on
    assert len(list(study.parent_dir.claims.iterdir())) == 1


def test_jobs_that_are_really_gone_are_lost(
    queued: SlurmStudy, cluster: Cluster, command: Command
) -> None:
    cluster.reinstall_controller()
    cluster.drain()
    for answers in (squeue_is_right_again, squeue_prints_nothing):
        answers(command)
        told = queued.status()
        assert told["runs"][queued.parent.id]["state"] == "lost"
        assert told["counts"]["pending"] == 0
    assert queued.launch()["submitted"]["runs"] == 3
    assert runs_in_queue(queued, cluster) == once_each(queued)


def test_a_job_that_was_submitted_a_moment_ago_is_not_lost(
    tmp_path: Path, shards: Path, cluster: Cluster, command: Command
) -> None:
    """Neither squeue nor scontrol shows it yet."""
    cluster.drain()
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    squeue_prints_nothing(command)
    command("scontrol", "exit 0")
    assert study.status()["counts"]["pending"] == 3
    assert study.launch()["submitted"]["runs"] == 0


def test_a_relay_that_an_old_answer_of_squeue_shows_as_waiting_gets_a_successor(
    queued: SlurmStudy, cluster: Cluster, command: Command, tmp_path: Path
) -> None:
    relay = queued.status()["relay"]
    squeue_repeats_itself(command, cluster, tmp_path)
    cluster.run("scancel", relay)
    told = queued.launch()
    assert told["submitted"]["runs"] == 0 and told["relay"] not in (None, relay)
    assert runs_in_queue(queued, cluster)["relay"] == 1
