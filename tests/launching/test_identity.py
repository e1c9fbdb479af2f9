"""A job is ours if its number, name and user agree, on a real Slurm that gives numbers again."""

import json
import re
import shutil
from pathlib import Path

import pytest

from hpc_xfer.store.submission_ledger import read_ledger
from tests.cluster import Cluster
from tests.conftest import Command
from tests.faults import SlurmStudy
from tests.launching.seen_from_outside import (
    is_now_an_hour_later,
    numbers_by_name,
    once_each,
    runs_in_queue,
)
from tests.waiting import wait_for


@pytest.fixture
def new(cluster: Cluster) -> Cluster:
    """A cluster whose next job gets the number 1; no job begins on it."""
    cluster.reinstall_controller()
    cluster.drain()
    return cluster


@pytest.fixture
def study(tmp_path: Path, shards: Path, new: Cluster) -> SlurmStudy:
    """A study with jobs 1 (its pre-training), 2_0 (its fine-tunings) and 3 (its relay)."""
    study = SlurmStudy(tmp_path, shards)
    assert study.launch()["relay"] == "3"
    assert set(new.live()) == {"1", "2_0", "3"}
    return study


@pytest.fixture
def others(study: SlurmStudy, new: Cluster) -> set[str]:
    """Jobs of the user, running, to which a reinstalled controller gave the study's numbers."""
    new.reinstall_controller()
    jobs = [new.submit("sleep 600", *more) for more in ([], ["--array=0"], [])]
    assert jobs == ["1", "2", "3"]
    wait_for(lambda: {new.state(job) for job in jobs} == {"RUNNING"})
    new.drain()
    is_now_an_hour_later(study)
    return {"1", "2_0", "3"}


def test_jobs_that_got_our_numbers_are_not_shown_as_ours(
    study: SlurmStudy, others: set[str]
) -> None:
    told = study.status()
    counts = told["counts"]
    assert not counts["running"] and not counts["starting"] and not counts["pending"]
    assert told["relay"] is None
    said = study.call("status", code=None)
    assert "relay: " not in said or "running" not in said


def test_jobs_that_got_our_numbers_are_never_cancelled(
    study: SlurmStudy, others: set[str], new: Cluster
) -> None:
    assert json.loads(study.call("cancel", "--json"))["cancelled"] == []
    assert set(new.live()) == others


def test_runs_whose_numbers_are_others_by_now_are_submitted_anew_and_hang_on_no_other(
    study: SlurmStudy, others: set[str], new: Cluster
) -> None:
    assert study.launch()["submitted"]["runs"] == 3
    assert runs_in_queue(study, new) == once_each(study)
    waits_for = new.run("squeue", "-h", "-t", "PENDING", "-o", "%E")
    assert set(re.findall(r":(\d+)", waits_for)) == {"4", "5"}
    assert study.launch()["submitted"]["runs"] == 0
    assert study.status()["counts"]["pending"] == 3
    assert len(json.loads(study.call("cancel", "--json"))["cancelled"]) == 3
    assert set(new.live()) == others


def test_two_studies_whose_jobs_got_one_number_are_both_submitted_once(
    tmp_path: Path, shards: Path, new: Cluster
) -> None:
    """The controller died before it had written down the jobs of the first."""
    study = SlurmStudy(tmp_path, shards)
    other = tmp_path / "other.yaml"
    grid = study.grid.read_text().replace("name: faults", "name: other")
    other.write_text(grid.replace(", arch:", ", seed: 1, arch:"))
    saved = new.save_state()
    assert study.launch()["relay"] == "3"
    new.lose_what_came_after(saved)
    study.run("launch", other)
    assert set(new.live()) == {"1", "2_0", "3"}

    is_now_an_hour_later(study)
    assert study.launch()["submitted"]["runs"] == 3
    study.run("launch", other)
    assert study.launch()["submitted"]["runs"] == 0
    held = runs_in_queue(study, new)
    assert held.pop("relay") == 2 and set(held.values()) == {1} and len(held) == 6


def test_a_number_that_sbatch_did_not_tell_right_is_corrected_by_the_name(
    study: SlurmStudy, others: set[str], new: Cluster, command: Command
) -> None:
    """A wrapper of the site tells the number of a job of the user's own."""
    sbatch = shutil.which("sbatch")
    command("sbatch", f"{sbatch} \"$@\" | sed -E 's/[0-9]+/1/'")
    assert study.launch()["submitted"]["runs"] == 3
    assert runs_in_queue(study, new) == once_each(study)
    numbers = numbers_by_name(new)
    ledger = read_ledger(study.store)
    ours = {name: number for name, number in numbers.items() if name in ledger.submissions}
    assert len(ours) == 3
    assert {name: ledger.submissions[name].job for name in ours} == ours
    waits_for = new.run("squeue", "-h", "-t", "PENDING", "-o", "%E")
    assert "1" not in re.findall(r":(\d+)", waits_for)
    assert study.launch()["submitted"]["runs"] == 0
    assert len(json.loads(study.call("cancel", "--json"))["cancelled"]) == 3
    assert set(new.live()) == others


def test_a_job_of_our_name_that_we_did_not_submit_is_not_ours(
    queued: SlurmStudy, cluster: Cluster
) -> None:
    """Somebody submitted a batch script of the study once more, by hand."""
    name = next(iter(numbers_by_name(cluster)))
    twin = cluster.submit("sleep 600", "-J", name)
    assert twin not in {each.get("job") for each in queued.status()["runs"].values()}
    assert queued.launch()["submitted"]["runs"] == 0
    queued.call("cancel")
    assert cluster.live() == [twin]


def test_a_job_of_our_name_is_not_taken_for_one_that_has_ended(
    queued: SlurmStudy, cluster: Cluster
) -> None:
    job, name = queued.job(), queued.places(queued.parent.id)[-1].submission.name
    twin = cluster.submit("sleep 600", "-J", name)
    cluster.run("scancel", job)
    assert queued.status()["runs"][queued.parent.id]["state"] == "missing"
    queued.call("cancel")
    assert cluster.live() == [twin]
