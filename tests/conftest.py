"""Shared input: rendered shards, made once for all tests; a real Slurm for those that need one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import cluster as clusters
from tests.cluster import Cluster

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sources `sans` and `serif`, 512 printed characters each."""
    folder = tmp_path_factory.mktemp("shards")
    command = [sys.executable, "-m", "hpc_xfer.shards", "characters", str(folder)]
    command += ["--source", "sans", "serif", "--samples", "512", "--classes", "64"]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def site(shards: Path) -> Path:
    """A site file that knows the shards."""
    path = shards / "site.yaml"
    path.write_text("sources: {sans: sans, serif: serif}\n")
    return path


@pytest.fixture(autouse=True)
def no_site_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests' results do not depend on the machine's own settings."""
    monkeypatch.delenv("HPC_XFER_SITE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _needs_slurm(accounting: bool = False) -> None:
    """Skip where Slurm is not installed; where it must be (in CI), fail."""
    if absent := clusters.missing(accounting):
        why = f"{', '.join(absent)} not installed; run: make slurm"
        if os.environ.get("HPC_XFER_NEEDS_SLURM"):
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture(scope="session")
def _shared_cluster() -> Iterator[Cluster]:
    _needs_slurm()
    cluster = Cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(_shared_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Four nodes of a real Slurm with an empty queue; its commands are the environment's."""
    for name, value in _shared_cluster.env.items():
        monkeypatch.setenv(name, value)
    _shared_cluster.clear()
    yield _shared_cluster
    _shared_cluster.clear()


@pytest.fixture
def make_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cluster]]:
    """A cluster of its own, with other settings, for one test."""
    made: list[Cluster] = []

    def make(**settings: object) -> Cluster:
        _needs_slurm(bool(settings.get("accounting")))
        made.append(Cluster.start(**settings))  # type: ignore[arg-type]
        for name, value in made[-1].env.items():
            monkeypatch.setenv(name, value)
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop()
