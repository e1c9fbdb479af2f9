"""Two studies that share a pre-training, launched by one command on a real Slurm."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.cluster import Cluster
from tests.conftest import ROOT
from tests.faults import SlurmStudy
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def test_both_finish_after_one_launch_and_what_they_share_is_run_once(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, steps=20)
    other = tmp_path / "other.yaml"
    other.write_text(study.grid.read_text().replace("name: faults", "name: other", 1)
                     .replace("shots: [1]", "shots: [1, 2]"))  # fmt: skip
    grids, places = [study.grid, other], study.command("launch")[4:]

    def call(module: str, *more: str) -> str:
        line = [sys.executable, "-m", f"hpc_xfer.{module}", *map(str, grids), *places, *more]
        return subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    told = json.loads(call("launch", "--json"))["studies"]
    plans = [make_plan(load_study(grid)) for grid in grids]
    ids = [{run.id for run in plan.runs} for plan in plans]
    assert ids[0] < ids[1]
    assert [each["submitted"]["runs"] for each in told] == [3, len(ids[1] - ids[0])]

    reports = [study.store.study(name).report for name in ("faults", "other")]
    wait_for(lambda: all(report.exists() for report in reports))
    states = json.loads(call("status", "--json"))["studies"]
    assert [state["counts"]["done"] for state in states] == [3, 5]
    assert not list(study.store.root.glob("runs/*/claims/2.json"))  # nothing was begun twice
