"""A rehearsal on stand-ins keeps all parts of a study, and says what failed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.config.recipes import Clip
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.stand_ins.stand_in_study import with_stand_ins
from hpc_xfer.study.study_file import load_study
from tests.conftest import ROOT

GRID = """
name: tiny
pretrain:
  - {method: clip, arch: RN50, source: web, samples: 1M, epochs: 1, caption: {keys: [title]}}
  - {method: supervised, arch: RN50, source: web, samples: 1M, epochs: 1}
finetune: {datasets: [eurosat], shots: [1], draws: 3, mode: [lp, zeroshot]}
resources: {pretrain: {gpus: 8}}
"""


@pytest.mark.parametrize("name", ["size_scaling", "curation", "methods", "small/sources"])
def test_every_data_set_shot_count_mode_and_method_is_kept(name: str) -> None:
    study = load_study(ROOT / f"grids/{name}.yaml")
    tiny = with_stand_ins(rehearsal_of(study))
    asked, kept = (
        {(trial.dataset, trial.shots, trial.mode) for trial in each.trials}
        for each in (study, tiny)
    )
    assert kept == asked
    families = {recipe.model_dump_json(exclude={"seed"}) for recipe in study.pretrains}
    assert len(tiny.pretrains) == len(families) + 1  # a second seed of the first
    ids = [run.id for run in make_plan(tiny).of("pretrain")]
    assert len(set(ids)) == len(ids)  # equal epochs and equal compute remain two runs


CHAIN = """
name: chain
pretrain:
  - {name: base, method: simclr, arch: RN50, source: web, samples: 1M, epochs: 1}
  - {method: clip, arch: RN50, source: web, samples: 2M, epochs: 1, init: base, lock: image}
finetune: {datasets: [eurosat], shots: [1], mode: lp}
"""


def test_a_chain_and_its_locked_tower_are_kept(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(CHAIN)
    plan = make_plan(with_stand_ins(rehearsal_of(load_study(tmp_path / "grid.yaml"))))
    base, tuned = plan.of("pretrain")[0], plan.of("pretrain")[-1]
    assert isinstance(tuned.recipe, Clip) and tuned.recipe.lock == "image"
    assert base in tuned.parents


def test_a_study_is_rehearsed_without_any_data_and_gets_a_verdict(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    where = ["grid.yaml", "--store", "store"]  # relative to the working folder, as people type it
    call = [sys.executable, "-m", "hpc_xfer.launch", *where, "--on", "local", "--rehearse",
            "--stand-ins"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rehearsal passed: all stages" in done.stdout
    assert "pre-training: supervised" in done.stdout and "zeroshot on eurosat" in done.stdout
    watch = [sys.executable, "-m", "hpc_xfer.status", *where, "--rehearsal", "--watch", "--json"]
    told = subprocess.run(watch, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert json.loads(told.stdout.splitlines()[-1])["rehearsal"]["passed"], told.stderr
