"""Two launches at the same moment, on login nodes whose clocks differ by two hours."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.store.submission_ledger import read_ledger
from tests.cluster import Cluster
from tests.conftest import AnotherTime, Command
from tests.faults import SlurmStudy
from tests.other_hosts import OtherHosts
from tests.waiting import wait_for


@pytest.fixture
def hosts(at_another_time: AnotherTime) -> Iterator[OtherHosts]:
    made = OtherHosts(at_another_time)
    yield made
    made.end()


@pytest.mark.parametrize("hours", [-1, 1])
def test_two_launches_whose_clocks_differ_submit_each_run_once(
    hours: float, tmp_path: Path, shards: Path, cluster: Cluster, command: Command,
    hosts: OtherHosts,
) -> None:  # fmt: skip
    """The second begins while the sbatch of the first is at work."""
    cluster.drain()
    study, real, begun, go = (
        SlurmStudy(tmp_path, shards),
        shutil.which("sbatch"),
        *(tmp_path / name for name in ("begun", "go")),
    )
    lines = f'touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done; exec {real} "$@"'
    command("sbatch", lines)
    first = hosts.start("login1", hours, study.command("launch", "--json"))
    wait_for(lambda: begun.exists() or first.poll() is not None, 60)
    errors = tmp_path / "second"
    with errors.open("w") as file:
        second = hosts.start("login2", -hours, study.command("launch", "--json"), stderr=file)
        wait_for(lambda: "login1" in errors.read_text() or second.poll() is not None)
    go.touch()
    told = [
        json.loads(process.communicate()[0])["submitted"]["runs"] for process in (first, second)
    ]
    assert told == [3, 0]
    names = cluster.run("squeue", "-h", "-r", "-o", "%j").split()
    assert len(names) == len(set(names)) and set(names) == set(read_ledger(study.store).submissions)
