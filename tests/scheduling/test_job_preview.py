"""The lines that submit a study by hand, run with an sbatch that only says what it was asked."""

import json
import re
import shlex
import subprocess
from pathlib import Path

from hpc_xfer.config.site import Site
from hpc_xfer.scheduling import job_preview
from hpc_xfer.store.launched_study import LaunchedStudy, prepare_store
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.conftest import Command

SCRATCH = {"method": "scratch", "arch": "RN50", "seed": [0, 1]}


def dependencies(tmp_path: Path, command: Command, answer: str, **more: object) -> list[str]:
    """Of each job in turn; the first is job 1. `answer` is what sbatch says of it."""
    grid, log = tmp_path / "a.yaml", tmp_path / "log"
    grid.write_text(json.dumps({"name": "x", "pretrain": [SCRATCH], **more}))
    asked, store = load_study(grid), Store(tmp_path / "store")
    launched = LaunchedStudy(asked, make_plan(asked), store, Site(), None)
    prepare_store(asked, launched.plan, store)
    told = shlex.quote(str(log))
    answer = answer.replace("N", f"$(wc -l < {told})")
    command("sbatch", f'echo "$*" >> {told}; echo "{answer}"')
    lines = "\n".join(job_preview.by_hand(launched, set()))
    subprocess.run(["bash", "-ec", lines], check=True, capture_output=True)
    found = (re.search(r"--dependency=(\S+)", line) for line in log.read_text().splitlines())
    return [each[1] if each else "" for each in found]


def test_by_hand_children_wait_for_their_parents_and_the_tables_for_all(
    tmp_path: Path, command: Command
) -> None:
    tune = {"datasets": ["digits"], "shots": [1], "mode": ["lp"], "lr": 0.01}
    found = dependencies(tmp_path, command, "N", finetune=tune)
    assert found == ["", "", "afterok:1", "afterok:2", "afterany:1:2:3:4"]


def test_by_hand_the_tables_wait_for_pre_trainings_where_nothing_is_tuned(
    tmp_path: Path, command: Command
) -> None:
    assert dependencies(tmp_path, command, "N") == ["", "", "afterany:1:2"]


def test_by_hand_the_name_of_a_federations_cluster_is_in_no_dependency(
    tmp_path: Path, command: Command
) -> None:
    assert dependencies(tmp_path, command, "N;alpha") == ["", "", "afterany:1:2"]
