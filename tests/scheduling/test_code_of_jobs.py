"""Jobs run the code of their launch, whatever happens to the checkout meanwhile."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import tiny
from tests.cluster import Cluster
from tests.conftest import ROOT
from tests.faults import SlurmStudy
from tests.waiting import wait_for


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package, into which every command is typed."""
    folder = tmp_path / "checkout"
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hpc_xfer", folder / "hpc_xfer", ignore=without)
    return folder


def call(checkout: Path, study: SlurmStudy, module: str, *more: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(checkout)}
    command = study.command(module, *more)
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digests(study: SlurmStudy) -> list[str]:
    """The code of each run, as its record tells."""
    records = [tiny.record(study.store.run(run.id)) for run in study.plan.runs]
    return [record["provenance"]["digest"] for record in records]


def test_jobs_and_their_relays_run_the_code_of_the_launch(
    tmp_path: Path, shards: Path, cluster: Cluster, checkout: Path
) -> None:
    """The last fine-tunings are submitted by the relay, which runs them with the same code."""
    cluster.drain()
    study = SlurmStudy(tmp_path, shards, method="scratch", draws=3, target=2, slurm={"max_jobs": 4})
    told = json.loads(call(checkout, study, "launch", "--json"))
    assert told["waiting_for_room"] > 0
    (snapshot,) = study.store.code.iterdir()
    for path in checkout.rglob("*.py"):
        path.write_text("raise SystemExit('this is other code')\n")
    cluster.resume()
    study.ends(cluster)
    assert set(digests(study)) == {snapshot.name}
    assert [*study.store.code.iterdir()] == [snapshot]
    assert "other code" not in study.logs()


def test_a_launch_with_other_code_leaves_that_of_queued_jobs(
    tmp_path: Path, shards: Path, cluster: Cluster, checkout: Path
) -> None:
    cluster.drain()
    study = SlurmStudy(tmp_path, shards, method="scratch")
    first = json.loads(call(checkout, study, "launch", "--json"))["relay"]
    (old,) = study.store.code.iterdir()
    errors = checkout / "hpc_xfer/errors.py"
    errors.write_text(errors.read_text() + "# changed\n")
    told = json.loads(call(checkout, study, "launch", "--json"))
    assert len([*study.store.code.iterdir()]) == 2
    [note] = told["notes"]
    assert f"keep the code that they were launched with ({old.name})" in note
    assert told["relay"] in cluster.live() and first not in cluster.live()  # it submits new code
    cluster.resume()
    study.ends(cluster)
    assert set(digests(study)) == {old.name}


def test_an_installed_package_does_not_name_batch_files_that_only_a_checkout_has(
    tmp_path: Path, shards: Path, checkout: Path
) -> None:
    study = SlurmStudy(tmp_path, shards, method="scratch")
    env = {**os.environ, "PYTHONPATH": str(checkout)}  # a package alone, as in site-packages
    command = study.command("launch", "--by-hand", "--on", "slurm")
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "sbatch: is not there" in done.stderr and "without --by-hand" in done.stderr


def test_doctor_finds_the_same_code_on_the_nodes(
    tmp_path: Path, shards: Path, cluster: Cluster, checkout: Path
) -> None:
    study = SlurmStudy(tmp_path, shards, method="scratch")
    said = json.loads(call(checkout, study, "doctor", "--json"))["verdicts"]
    assert {each["found"].partition(": ")[2] for each in said if "environment" in each["what"]} == {
        "the same packages and code as here"
    }


def test_a_worker_on_this_machine_runs_it_too(tmp_path: Path, shards: Path, checkout: Path) -> None:
    study = SlurmStudy(tmp_path, shards, method="scratch")
    call(checkout, study, "launch", "--on", "local", "--jobs", "1")
    (snapshot,) = study.store.code.iterdir()
    assert set(digests(study)) == {snapshot.name}


def test_the_scripts_by_hand_run_the_code_that_wrote_their_lines(
    tmp_path: Path, shards: Path, cluster: Cluster, checkout: Path
) -> None:
    shutil.copytree(ROOT / "sbatch", checkout / "sbatch")
    study = SlurmStudy(tmp_path, shards, method="scratch")
    lines = call(checkout, study, "launch", "--by-hand")
    cluster.drain()
    subprocess.run(["bash", "-ec", lines], check=True, cwd=checkout)
    (checkout / "hpc_xfer/__init__.py").write_text("raise SystemExit('this is other code')\n")
    cluster.resume()
    wait_for(lambda: not cluster.live(), 240)
    (snapshot,) = study.store.code.iterdir()
    assert set(digests(study)) == {snapshot.name}
    assert study.store.study("faults").report.exists()
