"""A store that is moved or copied while its jobs are in the queue, on a real Slurm."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from hpc_xfer.store.store import Store
from tests.cluster import Cluster
from tests.faults import ROOT, SlurmStudy
from tests.launching.seen_from_outside import once_each, runs_in_queue


@pytest.fixture
def study(queued: SlurmStudy) -> SlurmStudy:
    """A study whose jobs were put into the queue an hour ago."""
    return queued


def move(study: SlurmStudy) -> Path:
    """Give the store another path; return the old one."""
    old = study.store.root
    study.store = Store(old.rename(study.folder / "another store"))
    return old


def copy(study: SlurmStudy) -> Path:
    """Go on with a copy of the store; return the path of the original."""
    old = study.store.root
    study.store = Store(study.folder / "a copy")
    # A job at work removes files meanwhile, which cp tells and goes on.
    subprocess.run(["cp", "-R", str(old), str(study.store.root)], capture_output=True)
    return old


def test_jobs_that_write_to_the_old_place_are_replaced_in_the_same_launch(
    study: SlurmStudy, cluster: Cluster
) -> None:
    before, old = set(cluster.live()), move(study)
    done = subprocess.run(study.command("launch"), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert f"the store was at {old} and is at {study.store.root} now" in done.stderr
    assert "submitted 3 runs" in done.stdout
    assert not before & set(cluster.live())
    assert runs_in_queue(study, cluster) == once_each(study)
    assert study.launch()["submitted"]["runs"] == 0
    for job in cluster.live():
        script = cluster.run("scontrol", "write", "batch_script", job.split("_")[0], "-")
        assert str(study.store.root) in script and str(old) not in script
    assert not old.exists()


def test_a_link_at_the_old_place_lets_the_jobs_go_on(study: SlurmStudy, cluster: Cluster) -> None:
    before, old = cluster.live(), move(study)
    old.symlink_to(study.store.root)
    assert study.launch()["submitted"]["runs"] == 0
    assert study.status()["counts"]["pending"] == 3
    assert cluster.live() == before


def test_another_store_at_the_old_place_does_not_make_the_moved_one_a_copy(
    study: SlurmStudy, cluster: Cluster
) -> None:
    before, old = set(cluster.live()), move(study)
    moved, study.store = study.store, Store(old)
    other = study.folder / "other.yaml"
    grid = study.grid.read_text().replace("name: faults", "name: other")
    other.write_text(grid.replace(", arch:", ", seed: 1, arch:"))
    study.run("launch", other)
    others = set(cluster.live()) - before
    study.store = moved
    assert study.launch()["submitted"]["runs"] == 3
    assert not before & set(cluster.live()) and others < set(cluster.live())


def test_jobs_that_a_relay_submitted_from_a_node_are_replaced_too(
    study: SlurmStudy, cluster: Cluster
) -> None:
    path = study.store.study("faults").launches
    lines = path.read_text().splitlines()
    relayed = [line.replace(socket.gethostname(), "n7") for line in lines[1:5]]
    path.write_text("\n".join([*lines[:1], *relayed, *lines[5:]]) + "\n")
    before = set(cluster.live())
    move(study)
    assert study.launch()["submitted"]["runs"] == 3
    assert not before & set(cluster.live())


def test_status_tells_of_jobs_that_write_to_where_the_store_was(
    study: SlurmStudy, cluster: Cluster
) -> None:
    old = move(study)
    assert str(old) in study.call("status", code=None)


def test_cancel_takes_the_jobs_of_a_moved_store(study: SlurmStudy, cluster: Cluster) -> None:
    move(study)
    study.call("cancel")
    assert cluster.live() == []


def test_jobs_of_the_original_are_left_alone_by_its_copy(
    study: SlurmStudy, cluster: Cluster
) -> None:
    originals = set(cluster.live())
    original = copy(study)
    assert json.loads(study.call("cancel", "--json"))["cancelled"] == []
    assert study.launch()["submitted"]["runs"] == 3
    own = set(cluster.live()) - originals
    assert originals <= set(cluster.live()) and len(own) == 3
    assert study.launch()["submitted"]["runs"] == 0
    assert len(json.loads(study.call("cancel", "--json"))["cancelled"]) == 3
    assert set(cluster.live()) == originals

    study.store = Store(original)
    assert study.status()["counts"]["pending"] == 3
    assert study.launch()["submitted"]["runs"] == 0
    study.call("cancel")
    assert cluster.live() == []


def test_status_of_a_copy_does_not_count_the_jobs_of_the_original_and_says_so(
    study: SlurmStudy, cluster: Cluster
) -> None:
    original = copy(study)
    told = study.status()
    assert told["counts"]["missing"] == 3 and told["relay"] is None
    assert str(original) in study.call("status", code=None)


def test_a_run_at_work_in_the_original_is_not_at_work_in_its_copy(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, steps=1000)
    study.launch()
    study.reaches(10)
    original = copy(study)
    assert study.status()["counts"]["missing"] == 3
    assert study.launch()["submitted"]["runs"] == 3
    study.call("cancel")
    study.store = Store(original)
    assert study.status()["counts"]["running"] == 1


@pytest.mark.slow
def test_a_study_at_work_goes_on_where_its_store_was_moved_to(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(100)
    job = study.job()
    move(study)
    assert study.launch()["submitted"]["runs"] == 3
    assert cluster.state(job) in ("CANCELLED", "FAILED")
    study.ends(cluster)
