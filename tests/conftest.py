"""Shared input: rendered shards, made once for all tests; a real Slurm for those that need one."""

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hpc_xfer.system import machine, set_aside
from tests import cluster as clusters
from tests import other_clock
from tests.cluster import Cluster, mounts

ROOT = Path(__file__).parent.parent

# Random input is the same in each run, and a busy machine fails no test.
settings.register_profile(
    "here",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("here")


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
def no_site_of_the_user(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The tests' results do not depend on the machine's own settings."""
    if request.node.get_closest_marker("gpu"):
        monkeypatch.delenv(machine.DEVICE, raising=False)
    monkeypatch.delenv("HPC_XFER_SITE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):  # of whoever calls us; rich would obey
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def nothing_set_aside_by_other_tests() -> None:
    """A command of its own process has set nothing aside when it begins."""
    set_aside.take()


@pytest.fixture(autouse=True)
def process_of_the_user() -> Iterator[None]:
    """What a command in this process makes of its umask and its variables ends with the test."""
    umask, variables = os.umask(0o022), dict(os.environ)
    os.umask(umask)
    yield
    os.umask(umask)
    os.environ.clear()
    os.environ.update(variables)


Command = Callable[[str, str], None]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Puts a shell script before all else on PATH: a command of Slurm, as a test needs it."""
    folder = tmp_path / "bin"

    def put(name: str, lines: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (folder / name).chmod(0o755)

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return put


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slurm: needs Slurm (make slurm); starts its own")
    # Before torch is imported: threads for all cores in each process would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    machine.shorten_socket_paths()  # for the tests' own processes too, whatever TMPDIR is
    if machine.gpus():  # tests without the mark `gpu` train on the CPU there too, on many ranks
        os.environ[machine.DEVICE] = "cpu"
    gc.disable()  # while torch and 8,600 tests are read in, which all stay


def pytest_collection_finish() -> None:
    """Let the collector of cycles pass over what stays, each time in each of the tests."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """So that `-m "not slurm"` leaves out all of them."""
    for item in items:
        if {"cluster", "make_cluster", "two_clusters"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slurm")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slurm"):
        _needs_slurm()
    if item.get_closest_marker("gpu"):
        _needs_gpu()


def _needs_gpu() -> None:
    import torch  # here, since most tests need none of it

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def _needs_slurm(accounting: bool = False) -> None:
    _needs(clusters.missing(accounting))


def _needs(absent: list[str]) -> None:
    """Skip where a program is not installed; where HPC_XFER_NEEDS_SLURM is set, as in CI, fail."""
    if absent:
        why = f"not installed: {', '.join(absent)}; run: make slurm"
        if os.environ.get("HPC_XFER_NEEDS_SLURM"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)


def _enter(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands, and ours, speak to this cluster and to no other."""
    for name in [name for name in os.environ if name.startswith(clusters.OF_SLURM)]:
        monkeypatch.delenv(name)
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def _shared_cluster() -> Iterator[Cluster]:
    cluster = Cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(_shared_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A real Slurm of four idle nodes with an empty queue; no accounting."""
    _shared_cluster.clear()
    _enter(_shared_cluster, monkeypatch)
    yield _shared_cluster
    print(_shared_cluster.story())  # pytest shows it where the test failed
    _shared_cluster.clear()


@pytest.fixture
def drained(cluster: Cluster) -> Cluster:
    """Nothing starts: each job stays in the queue."""
    cluster.drain()
    return cluster


@pytest.fixture(scope="session")
def _shared_clusters() -> Iterator[tuple[Cluster, Cluster]]:
    _needs_slurm(accounting=True)
    login = Cluster.start(accounting=True, nodes=1, name="login")
    with contextlib.ExitStack() as stopped:
        stopped.callback(login.stop)
        gpu = Cluster.start(beside=login, nodes=2, name="gpu")
        stopped.callback(gpu.stop)
        yield login, gpu


@pytest.fixture
def two_clusters(
    _shared_clusters: tuple[Cluster, Cluster], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Cluster, Cluster]]:
    """The clusters `login` (one node) and `gpu` (two): commands speak to login, or `-M gpu`."""
    for cluster in _shared_clusters:
        cluster.clear()
    _enter(_shared_clusters[0], monkeypatch)
    yield _shared_clusters
    for cluster in _shared_clusters:
        print(cluster.story())
        cluster.clear()


@pytest.fixture
def make_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cluster]]:
    """Starts a Slurm of the test's own; takes what Cluster.start takes.

    Commands speak to it from then on, but not to one that is made beside another.
    """
    with contextlib.ExitStack() as stopped:

        def make(*, accounting: bool = False, **settings: Any) -> Cluster:
            _needs_slurm(accounting)
            if settings.get("mounts") and not mounts.are_allowed():
                pytest.skip("mounts of a node's own need root, and a container that lets it mount")
            made = Cluster.start(accounting=accounting, **settings)
            stopped.callback(made.stop)
            stopped.callback(lambda: print(made.story()))
            if "beside" not in settings:
                _enter(made, monkeypatch)
            return made

        yield make


AnotherTime = Callable[[float], dict[str, str]]


@pytest.fixture
def at_another_time(tmp_path: Path) -> Iterator[AnotherTime]:
    """Gives the environment of a process whose clock is so many hours ahead (or, below 0, late)."""
    _needs(other_clock.missing())
    kernel_calls = other_clock.compile_kernel_calls(tmp_path)
    yield lambda hours: other_clock.shifted(hours, kernel_calls)
    other_clock.clean_up()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], None]]:
    """Mounts a disk of so many MB on a folder."""
    mounted: list[Path] = []

    def mount(folder: Path, megabytes: int) -> None:
        call = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(call, capture_output=True).returncode != 0:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
