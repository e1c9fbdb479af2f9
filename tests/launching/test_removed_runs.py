"""A grid that is edited while its jobs are in the queue, on a real Slurm with drained nodes."""

import json
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults import SlurmStudy


@pytest.fixture
def study(tmp_path: Path, shards: Path, cluster: Cluster) -> SlurmStudy:
    """A study of two pre-trainings with two fine-tunings each, all in the queue."""
    cluster.drain()
    study = SlurmStudy(tmp_path, shards, target=1)
    study.grid.write_text(study.grid.read_text().replace(", arch:", ", seed: [0, 1], arch:"))
    assert study.launch()["submitted"]["runs"] == 6
    return study


def test_jobs_of_removed_runs_are_told_and_cancelled_when_asked_for(
    study: SlurmStudy, cluster: Cluster
) -> None:
    before = set(cluster.live())
    study.grid.write_text(study.grid.read_text().replace("seed: [0, 1]", "seed: [0]"))
    told = study.launch()
    assert told["submitted"]["runs"] == 0
    [note] = told["notes"]
    assert note.startswith("3 runs that the grid no longer has are in the queue, in 3 jobs")
    assert "cancel --removed" in note
    assert "3 runs that the grid no longer has" in study.call("status")

    gone = json.loads(study.call("cancel", "--removed", "--json"))["cancelled"]
    assert len(gone) == 3 and set(cluster.live()) == before - set(gone)
    assert study.launch()["notes"] == [] and study.status()["counts"]["pending"] == 3


def test_removed_runs_that_another_study_has_are_left_to_it(
    study: SlurmStudy, cluster: Cluster
) -> None:
    other = study.folder / "other.yaml"
    other.write_text(study.grid.read_text().replace("name: faults", "name: other"))
    one = study.grid.read_text().replace("seed: [0, 1]", "seed: [0]")
    study.run("launch", other)
    study.grid.write_text(one)
    assert study.launch()["notes"] == []
    assert json.loads(study.call("cancel", "--removed", "--json"))["cancelled"] == []


def test_an_element_that_holds_wanted_runs_too_goes_on(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    cluster.drain()
    study = SlurmStudy(tmp_path, shards, draws=2, target=30)
    study.launch()
    study.grid.write_text(study.grid.read_text().replace("draws: 2", "draws: 1"))
    [note] = study.launch()["notes"]
    assert note.startswith("1 job holds runs that the grid no longer has")
    before = cluster.live()
    assert json.loads(study.call("cancel", "--removed", "--json"))["cancelled"] == []
    assert cluster.live() == before
