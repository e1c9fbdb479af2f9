"""A launched study: the links and job names of a launch, and its grid read again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.scheduling import job_preview
from hpc_xfer.store.launched_study import (
    LaunchedStudy,
    launched_parts,
    load_in_store,
    prepare_store,
)
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.conftest import ROOT


def test_long_labels_give_short_and_different_names(tmp_path: Path) -> None:
    """Two blocks with a dozen templates each; they differ in one word of the last."""
    places = ("in the wild", "on a table", "from above", "in the dark", "at the sea", "up close")
    shots = [f"a {how} photo of a {{}} {place}." for how in ("good", "bad") for place in places]
    base = {"method": "clip", "arch": "RN50", "source": "sans", "samples": 100, "epochs": 1}
    blocks = [
        {**base, "batch": 10, "caption": {"templates": [*shots, f"a {last} of a {{}}."]}}
        for last in ("photo", "drawing")
    ]
    grid = tmp_path / "a.yaml"
    grid.write_text(json.dumps({"name": "long", "pretrain": blocks}))
    study, store = load_study(grid), Store(tmp_path / "store")
    launched = LaunchedStudy(study, make_plan(study), store, Site(), None)

    prepare_store(study, launched.plan, store)
    links = sorted(link.name for link in store.study("long").tensorboard.iterdir())
    assert len(links) == 2 and all(link.startswith("clip-sans-100-caption") for link in links)
    names = [
        job.name for job in job_preview.jobs_to_come(launched, set()) if job.name.startswith("pre.")
    ]
    assert len({name.split(".")[1] for name in names}) == 2
    assert all(len(name) < 120 for name in [*links, *names])


def test_a_launched_study_reads_the_same_where_the_locale_is_not_utf_8(tmp_path: Path) -> None:
    grid = tmp_path / "a.yaml"
    question = "Does “pré-entraînement” help?"
    text = f"name: x\nquestion: {question}\npretrain: [{{method: scratch, arch: RN50}}]\n"
    grid.write_text(text, encoding="utf-8")
    study, store = load_study(grid), Store(tmp_path / "store")
    prepare_store(study, make_plan(study), store)
    code = (
        "import sys; from pathlib import Path; from hpc_xfer.store.launched_study import *;"
        "print(ascii(read_launched(Store(Path(sys.argv[1])), 'x')[0].question))"
    )
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.root)],
        env={**os.environ, **ascii_locale}, cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    assert done.stdout.decode() == f"{question!a}\n"


def test_a_name_that_no_folder_may_have_is_refused_before_the_store_is_asked(
    tmp_path: Path,
) -> None:
    grid = tmp_path / "a.yaml"
    grid.write_text(f"name: {'x' * 300}\nquestion: How long?\n")
    with pytest.raises(StudyError, match="cannot name a folder; use letters"):
        load_in_store(grid, Store(tmp_path / "store"))


PARTS = """
name: parts
pretrain: {method: scratch, arch: RN50, seed: [0, 1]}
finetune: {datasets: [pets], shots: [1, 5], draws: 1, mode: lp}
"""


def test_the_relay_keeps_to_the_parts_that_were_launched(tmp_path: Path) -> None:
    grid = tmp_path / "a.yaml"
    grid.write_text(PARTS)
    study, store = load_study(grid), Store(tmp_path / "store")
    plan = make_plan(study)

    def recorded(*only: str) -> tuple[str, ...]:
        prepare_store(study, plan, store, only)
        return launched_parts(store, "parts")

    assert recorded("shots=1") == ("shots=1",)
    assert recorded("shots=5,mode=lp") == ("shots=1", "shots=5,mode=lp")
    assert recorded() == ()  # all
    assert recorded("shots=1") == ()  # goes on with all
    store.study("parts").cancelled.touch()
    assert recorded("shots=1") == ("shots=1",)
    only = LaunchedStudy(study, plan, store, Site(), None, launched_parts(store, "parts"))
    assert {run.spec.get("shots") for run in only.wanted.runs} == {None, 1}


def test_a_grid_that_grew_since_a_launch_of_all_may_be_launched_in_part(tmp_path: Path) -> None:
    grid, store = tmp_path / "a.yaml", Store(tmp_path / "store")
    for shots, only in (("1", ()), ("[1, 5]", ("shots=5",))):
        grid.write_text(PARTS.replace("[1, 5]", shots))
        study = load_study(grid)
        prepare_store(study, make_plan(study), store, only)
    assert launched_parts(store, "parts") == ("shots=5",)
