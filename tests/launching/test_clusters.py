"""Several clusters behind one login node, on two real ones: a study runs on the one it names."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults import ROOT, SlurmStudy
from tests.launching.seen_from_outside import is_now_an_hour_later, once_each, runs_in_queue

ON_GPU = {"cluster": "gpu"}


@pytest.fixture
def login(two_clusters: tuple[Cluster, Cluster]) -> Cluster:
    """The cluster of this login node, drained."""
    two_clusters[0].drain()
    return two_clusters[0]


@pytest.fixture
def gpu(two_clusters: tuple[Cluster, Cluster]) -> Cluster:
    """The other cluster, drained."""
    two_clusters[1].drain()
    return two_clusters[1]


def test_every_command_speaks_to_the_cluster_that_the_site_names(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm=ON_GPU)
    first = study.launch()
    assert first["submitted"]["runs"] == 3
    is_now_an_hour_later(study)
    again = study.launch()
    assert (again["submitted"]["runs"], again["in_queue"]) == (0, 3)
    assert again["relay"] == first["relay"]
    assert runs_in_queue(study, gpu) == once_each(study) and login.live() == []

    told = study.status()
    assert told["counts"]["pending"] == 3 and told["relay"] == first["relay"]
    child = study.plan.of("finetune")[0].id
    assert child in study.call("status", "--job", told["runs"][child]["job"])
    assert len(json.loads(study.call("cancel", "--json"))["cancelled"]) == 3
    assert gpu.live() == []


def test_jobs_of_the_other_cluster_with_our_numbers_are_left_alone(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster
) -> None:
    for cluster in (login, gpu):
        cluster.reinstall_controller()
        cluster.drain()
    mine = {login.submit("sleep 600"), f"{login.submit('sleep 600', '--array=0')}_0",
            login.submit("sleep 600")}  # fmt: skip
    study = SlurmStudy(tmp_path, shards, slurm=ON_GPU)
    study.launch()
    assert set(gpu.live()) == mine == {"1", "2_0", "3"}
    study.call("cancel")
    assert set(login.live()) == mine and gpu.live() == []


@pytest.mark.parametrize("option", ["clusters", "cluster"])
def test_clusters_in_options_are_refused_with_the_way_out(
    option: str, tmp_path: Path, shards: Path
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm={"options": {option: "gpu"}})
    done = subprocess.run(study.command("launch"), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert f"slurm.options.{option}" in done.stderr and "slurm.cluster" in done.stderr


def test_the_cluster_of_the_environment_is_taken_where_the_site_names_none(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SlurmStudy(tmp_path, shards)
    monkeypatch.setenv("SLURM_CLUSTERS", "gpu")
    study.launch()
    is_now_an_hour_later(study)
    assert study.launch()["submitted"]["runs"] == 0
    assert study.status()["counts"]["pending"] == 3
    assert runs_in_queue(study, gpu) == once_each(study) and login.live() == []

    monkeypatch.delenv("SLURM_CLUSTERS")  # in another shell, the day after
    assert study.status()["counts"]["pending"] == 3
    assert study.launch()["submitted"]["runs"] == 0
    assert len(json.loads(study.call("cancel", "--json"))["cancelled"]) == 3
    assert gpu.live() == []


def test_the_cluster_of_the_site_goes_before_that_of_the_environment(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm=ON_GPU)
    monkeypatch.setenv("SLURM_CLUSTERS", "login")
    study.launch()
    assert runs_in_queue(study, gpu) == once_each(study) and login.live() == []


def test_several_clusters_in_the_environment_are_refused(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SlurmStudy(tmp_path, shards)
    monkeypatch.setenv("SLURM_CLUSTERS", "login,gpu")
    done = subprocess.run(study.command("launch"), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "slurm.cluster" in done.stderr
    assert login.live() == gpu.live() == []


def test_a_site_that_names_another_cluster_leaves_jobs_where_they_are(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm=ON_GPU)
    study.launch()
    is_now_an_hour_later(study)
    moved = SlurmStudy(tmp_path, shards, slurm={"cluster": "login"})
    told = moved.launch()
    assert (told["submitted"]["runs"], told["in_queue"]) == (0, 3)
    assert moved.status()["counts"]["pending"] == 3
    moved.call("cancel")
    assert gpu.live() == login.live() == []


@pytest.mark.slow
def test_jobs_of_a_cluster_that_does_not_answer_are_not_lost(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm=ON_GPU)
    study.launch()
    is_now_an_hour_later(study)
    gpu.stop_controller()
    moved = SlurmStudy(tmp_path, shards, slurm={"cluster": "login"})
    assert moved.status()["counts"]["pending"] == 3
    assert moved.launch(code=None)["submitted"]["runs"] == 0
    gpu.start_controller()
    assert runs_in_queue(study, gpu)[study.parent.id] == 1


@pytest.mark.slow
def test_a_study_finishes_on_the_other_cluster_after_one_launch(
    tmp_path: Path, shards: Path, login: Cluster, gpu: Cluster
) -> None:
    gpu.resume()
    before = int(login.submit("true"))
    study = SlurmStudy(tmp_path, shards, slurm=ON_GPU)
    study.launch()
    study.ends(gpu)
    assert int(login.submit("true")) == before + 1  # nothing went there meanwhile
    assert study.store.study("faults").report.exists()
    assert all(len(study.places(run.id)) == 1 for run in study.plan.runs)


def test_a_launch_on_another_cluster_of_the_same_store_leaves_the_jobs_of_the_first(
    tmp_path: Path,
    shards: Path,
    make_cluster: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two controllers that know nothing of each other, a file system that both see."""
    first, second = (make_cluster(nodes=1, name=name) for name in ("first", "second"))
    for cluster in (first, second):
        cluster.drain()
    study = SlurmStudy(tmp_path, shards)
    monkeypatch.setenv("SLURM_CONF", str(first.conf))
    study.launch()
    before = first.live()
    is_now_an_hour_later(study)
    monkeypatch.setenv("SLURM_CONF", str(second.conf))
    told = study.launch()
    assert (told["submitted"]["runs"], told["in_queue"]) == (0, 3)
    [note] = told["notes"]
    assert note.startswith("cluster first, which has jobs of this store, does not answer from here")
    assert study.status()["counts"]["pending"] == 3
    relay = study.status()["relay"]
    assert relay == told["relay"] and relay in second.live()  # it goes on from here
    assert json.loads(study.call("cancel", "--json", code=1))["clusters_without_answer"] == [
        "first"
    ]

    forgotten = json.loads(study.call("cancel", "--json", "--forget-cluster", "first"))
    assert forgotten["forgotten"] == 3
    assert study.launch()["submitted"]["runs"] == 3
    monkeypatch.setenv("SLURM_CONF", str(first.conf))
    assert first.live() == before  # what cannot be reached is not touched
