"""The scripts in sbatch/, on a real Slurm."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import faults
from tests.cluster import Cluster
from tests.faults import SlurmStudy
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def test_the_scripts_in_sbatch_do_the_same_by_hand(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    """Each job sees the site's environment, and works in its scratch folder."""
    (tmp_path / "scratch").mkdir()
    setup = f'echo "$FROM_SITE in $TMPDIR" > {tmp_path}/job-$SLURM_JOB_ID'
    study = SlurmStudy(
        tmp_path, shards,
        slurm={
            "setup": ["trap leave EXIT", f"leave() {{ {setup}; }}"],
            "environment": {"FROM_SITE": "it's me"},
            "scratch": f"{tmp_path}/scratch",
        },
    )  # fmt: skip
    lines = study.call("launch", "--by-hand")
    subprocess.run(["bash", "-ec", lines], check=True, cwd=tmp_path, env=with_package())
    wait_for(lambda: not cluster.live(), 240)
    assert study.results() == expected
    told = {path.read_text() for path in tmp_path.glob("job-*")}
    assert told == {f"it's me in {tmp_path}/scratch\n"}
    assert study.store.study("faults").report.exists()


def with_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(faults.ROOT), "PYTHON": sys.executable}


def test_shards_are_made_by_an_array_over_folders(tmp_path: Path, cluster: Cluster) -> None:
    for name in ("one", "two and a half"):
        for label in ("cat", "dog"):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "a.png")
    inputs = tmp_path / "inputs.txt"
    inputs.write_text(f"{tmp_path}/one\n{tmp_path}/two and a half\n")
    script = faults.ROOT / "sbatch/make_shards.sbatch"
    env = with_package() | {"INPUTS": str(inputs), "OUT": str(tmp_path / "out")}
    subprocess.run(["sbatch", "--array=0-1", str(script)], check=True, cwd=tmp_path, env=env)
    wait_for(lambda: not cluster.live())
    assert (tmp_path / "out/one/index.json").exists()
    assert (tmp_path / "out/two and a half/index.json").exists()


def test_tensorboard_tells_how_to_reach_it(tmp_path: Path, cluster: Cluster) -> None:
    script = faults.ROOT / "sbatch/tensorboard.sbatch"
    env = with_package() | {"STORE": str(tmp_path), "STUDY": "any", "USER": "me"}
    subprocess.run(["sbatch", "-o", "log", str(script)], check=True, cwd=tmp_path, env=env)
    log = tmp_path / "log"
    wait_for(lambda: log.exists() and "then open http" in log.read_text())
    lines = log.read_text().splitlines()
    assert lines[0].startswith("on your own machine: ssh -N -J me@")
    address = lines[1].removeprefix("then open ")
    wait_for(lambda: answers(address))


def answers(address: str) -> bool:
    try:
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with without_proxy.open(address, timeout=5) as page:
            return bool(page.status == 200)
    except OSError:
        return False
