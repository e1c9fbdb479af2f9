"""A study of the paper goes through whole on a Slurm, without its data and without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.conftest import ROOT
from tests.faults import SLURM
from tests.waiting import wait_for

GRID = ROOT / "grids/small/methods.yaml"
MODES = ("ft", "lp", "zeroshot")


def call(folder: Path, command: str, *more: str) -> subprocess.CompletedProcess[str]:
    places = ["--site", str(folder / "site.yaml"), "--store", str(folder / "store")]
    words = [sys.executable, "-m", f"hpc_xfer.{command}", str(GRID), *places, *more]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_all_methods_are_rehearsed_on_stand_ins_and_status_tells_the_verdict(
    tmp_path: Path, cluster: Cluster
) -> None:
    (tmp_path / "site.yaml").write_text(json.dumps({"slurm": SLURM}))
    launched = call(tmp_path, "launch", "--rehearse", "--stand-ins")
    assert launched.returncode == 0, launched.stdout + launched.stderr
    wait_for(lambda: not cluster.live(), 1200)

    told = call(tmp_path, "status", "--rehearsal")
    assert told.stdout.endswith("rehearsal passed: all stages\n"), told.stdout
    stages = json.loads(call(tmp_path, "status", "--rehearsal", "--json").stdout)["rehearsal"]
    assert stages["passed"]
    names = {stage["name"] for stage in stages["stages"]}
    assert names == {
        *(f"pre-training: {m}" for m in ("clip", "siglip", "simclr", "supervised", "scratch")),
        *(f"{m} on {d}" for m in MODES for d in ("cifar100", "dtd", "pets", "eurosat")),
        *("tables", "figures", "report"),
    }
