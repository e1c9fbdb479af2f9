"""A rehearsal on stand-ins keeps all parts of a study, and says what failed."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.config.finetune_recipes import FullFinetune
from hpc_xfer.config.recipes import Clip, Pretrain, Released, Trained
from hpc_xfer.config.training_data.selection import SampleSelection
from hpc_xfer.errors import StudyError
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.stand_ins.stand_in_study import needed_lists, with_stand_ins
from hpc_xfer.study.study_file import Study, load_study
from tests.conftest import ROOT

GRID = """
name: tiny
pretrain:
  - {method: clip, arch: RN50, source: web, samples: 1M, epochs: 1, caption: {keys: [title]},
     select: {keys: good.txt, above: {clip_score: 0.3}, best: {aesthetic: 1e-2}, distinct: phash}}
  - {method: supervised, arch: RN50, source: web, samples: 1M, epochs: 1, init: moco,
     select: {classes: 100, per_class: 10000}}
  - {method: clip, arch: ViT-B-32, source: web, samples: 1M, epochs: 1, init: openai, lock: image}
  - {method: released, arch: RN50, weights: openai}
finetune: {datasets: [eurosat], shots: [1], draws: 3, mode: [lp, zeroshot]}
resources: {pretrain: {gpus: 24, probe: {dataset: eurosat}}}
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


STARTS = """
name: starts
pretrain:
  - {name: base, method: clip, arch: RN50, source: web, samples: [1M, 2M], epochs: 1, seed: [0, 1]}
  - {method: clip, arch: RN50, source: web, samples: 1M, epochs: 1, init: base, seed: 1}
  - {method: scratch, arch: [RN50, RN101]}
"""


def shrunk(folder: Path, grid: str) -> Study:
    (folder / "grid.yaml").write_text(grid)
    return with_stand_ins(rehearsal_of(load_study(folder / "grid.yaml")))


def test_a_run_starts_from_each_of_its_parents_as_in_the_study(tmp_path: Path) -> None:
    """Also from one whose seed is not among those that are kept."""
    plan = make_plan(shrunk(tmp_path, STARTS))
    children = [run for run in plan.of("pretrain") if run.parents]
    parents = [run.parents[0].recipe for run in children]
    assert [(p.samples, p.seed) for p in parents if isinstance(p, Clip)] == [(64, 1), (80, 1)]


def test_two_seeds_are_kept_of_the_first_pretraining_that_has_several(tmp_path: Path) -> None:
    grid = """
name: seeds
pretrain:
  - {method: released, arch: RN50, weights: openai}
  - {method: clip, arch: RN50, source: web, samples: [1M, 2M], epochs: 1, seed: [3, 4, 5]}
"""
    kept = [each for each in shrunk(tmp_path, grid).pretrains if isinstance(each, Trained)]
    assert [(each.samples, each.seed) for each in kept] == [(64, 3), (64, 4), (80, 3)]


BLOCKS = """
name: blocks
pretrain:
  - {name: web, method: clip, arch: RN50, source: web, samples: 1M, epochs: 1}
  - {name: random, method: scratch, arch: RN50}
finetune:
  - {datasets: [eurosat], shots: [1], mode: ft, tune: {lr: [1e-4, 3e-4, 1e-3]}}
  - {datasets: [eurosat], shots: [1], mode: ft, head: zero, parents: [web], lr: 3e-4}
  - {datasets: [eurosat], shots: [1], mode: ft, head: zero, parents: [random], lr: 5e-4}
"""


def test_a_block_keeps_its_learning_rate_between_those_of_others(tmp_path: Path) -> None:
    """Of each cell the first and the last value stay, so that no head and no parent is left out."""
    study = shrunk(tmp_path, BLOCKS)
    kept: dict[str, set[float]] = {}
    for trial in study.trials:
        assert isinstance(trial, FullFinetune)
        kept.setdefault(trial.head, set()).add(trial.lr)
    assert kept == {"auto": {1e-4, 1e-3}, "zero": {3e-4, 5e-4}}
    parents: dict[float, list[str]] = {}
    for run in make_plan(study).of("finetune"):
        if isinstance(run.recipe, FullFinetune) and run.recipe.head == "zero":
            methods = [p.recipe.method for p in run.parents if isinstance(p.recipe, Pretrain)]
            parents.setdefault(run.recipe.lr, methods)
    assert parents == {3e-4: ["clip"], 5e-4: ["scratch"]}


def test_architectures_of_one_kind_stay_different(tmp_path: Path) -> None:
    ids = [run.id for run in make_plan(shrunk(tmp_path, STARTS)).runs]
    assert len(set(ids)) == len(ids)


SELECTIONS = """
name: selections
pretrain:
  - {method: clip, arch: RN50, source: web, samples: 1M, epochs: 1, select: {keys: small.txt}}
  - {method: clip, arch: RN50, source: web, samples: 2M, epochs: 1, select: {keys: large.txt}}
  - method: clip
    arch: RN50
    source: web
    samples: 1M
    epochs: 1
    select: [{best: {score: 0.01}}, {best: {score: 0.1}}, {best: {score: 1.0}}]
  - {method: clip, arch: RN50, source: web, samples: 50k, epochs: 1,
     select: {classes: 50, per_class: 1000}}
  - {method: clip, arch: RN50, source: web, samples: 1M, epochs: 1,
     select: {classes: 1000, per_class: 1000}}
  - {method: clip, arch: RN50, source: web, samples: 1M, epochs: 1, select: {above: {score: 0.3}}}
"""


def test_selections_stay_nested(tmp_path: Path) -> None:
    for name in ("small", "large"):
        (tmp_path / f"{name}.txt").write_text(name)
    study = shrunk(tmp_path, SELECTIONS)
    short = rehearsal_of(load_study(tmp_path / "grid.yaml"))
    small, large = (set(each.text.split()) for each in needed_lists(short))
    assert small < large
    selections = [recipe.select for recipe in study.pretrains if isinstance(recipe, Trained)]
    best = [each.best["score"] for each in selections if each is not None and each.best]
    assert len(best) == 3 and 0.2 < best[0] < best[1] < best[2] == 1
    few, many = (each for each in selections if each is not None and each.classes)
    assert few.classes is not None and many.classes is not None and few.classes < many.classes
    assert few.per_class == many.per_class
    assert selections[-1] == SampleSelection(above={"score": 0.3})
    for recipe in study.pretrains:  # a worker reads it from a file, and checks it then
        written = recipe.model_dump_json()
        assert type(recipe).model_validate_json(written).model_dump_json() == written


def test_each_source_of_a_mixture_gives_a_sample(tmp_path: Path) -> None:
    grid = """
name: mixed
pretrain: [{method: clip, arch: RN50, source: {web: SHARE, rare: 0.001}, samples: 1M, epochs: 1}]
"""
    (recipe,) = shrunk(tmp_path, grid.replace("SHARE", "0.999")).pretrains
    assert isinstance(recipe, Trained) and min(recipe.samples_by_source.values()) == 1
    with pytest.raises(StudyError, match="source 'rare': its share of "):
        shrunk(tmp_path, grid.replace("SHARE", "20"))


def test_weights_of_one_name_are_a_file_for_each_architecture(tmp_path: Path) -> None:
    study = shrunk(
        tmp_path,
        """
name: others
pretrain:
  - {method: released, arch: [RN50, ViT-B-32], weights: openai}
  - {method: clip, arch: RN50, source: web, samples: 1M, epochs: 1, init: openai, lock: image}
facts: {weights: {openai: {source: wit}}}
""",
    )
    names = [recipe.weights for recipe in study.pretrains if isinstance(recipe, Released)]
    assert names == ["openai-RN50", "openai-ViT-B-32"]
    assert all(study.facts.of_weights(name).source == "wit" for name in names)
    started = study.pretrains[-1]
    assert isinstance(started, Clip) and (started.init, started.lock) == ("openai-RN50", "image")


def test_a_study_is_rehearsed_without_any_data_and_gets_a_verdict(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "good.txt").write_text("000123\n")
    (tmp_path / "site.yaml").write_text("released: {moco: {path: /data/moco.pth.tar, key: ema}}")
    # Relative to the working folder, as people type it.
    where = ["grid.yaml", "--store", "store", "--site", "site.yaml"]
    call = [sys.executable, "-m", "hpc_xfer.launch", *where, "--on", "local", "--rehearse",
            "--stand-ins"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rehearsal passed: all stages" in done.stdout
    assert "pre-training: supervised" in done.stdout and "zeroshot on eurosat" in done.stdout
    assert re.search(r"pre-training: released +1 of 1", done.stdout)
    assert "select leaves" in done.stderr
    watch = [sys.executable, "-m", "hpc_xfer.status", *where, "--rehearsal", "--watch", "--json"]
    told = subprocess.run(watch, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert json.loads(told.stdout.splitlines()[-1])["rehearsal"]["passed"], told.stderr

    [report] = tmp_path.glob("store-rehearsal-*/studies/*/report.html")
    report.unlink()  # as after a relay that ended by an error
    told = subprocess.run(watch[:-2], cwd=tmp_path, capture_output=True, text=True, env=environment)
    way = told.stdout.partition("no report is there; to collect and report: ")[2].splitlines()[0]
    for command in way.split(" && "):
        python, *words = shlex.split(command)
        assert python == "python"
        subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, check=True)
    assert report.exists()
