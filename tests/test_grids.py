"""The grids of the paper: heads are true, shared pre-trainings are one run, one site fits all."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from hpc_xfer import cost, launch
from hpc_xfer.config.recipes import Released, Scratch, Trained
from hpc_xfer.config.site import Site, Slurm, load_site
from hpc_xfer.store.finished_costs import make_plan_without_data
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.study_file import Study, load_study
from hpc_xfer.study.summary.given_minutes import given_minutes_notes
from tests.conftest import ROOT
from tests.fabricated import source
from tests.official_copies import site_entry

PAPER = ("size_scaling", "sources", "curation", "methods", "scratch", "paper_protocol")
SMALL = tuple(f"small/{name}" for name in PAPER)
SEEDS = {0, 1, 2}


@cache
def study_of(name: str) -> Study:
    return load_study(ROOT / f"grids/{name}.yaml")


@cache
def plan_of(name: str) -> Plan:
    return make_plan(study_of(name))


@cache
def pretrainings(name: str) -> dict[str, str]:
    """Ids of the trainings of a grid, with what a reader would call them."""
    runs = plan_of(name).of("pretrain")
    trained = {run.id: run.recipe for run in runs if isinstance(run.recipe, Trained)}
    return {
        run_id: f"{recipe.method} {recipe.source_name} {recipe.samples / 1e6:g}M"
        for run_id, recipe in trained.items()
    }


def head_of(name: str) -> str:
    """The comment that opens a grid, as one line."""
    text = (ROOT / f"grids/{name}.yaml").read_text().split("\nname: ")[0]
    return " ".join(re.findall(r"^# ?(.*)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", [*PAPER, *SMALL])
def test_the_head_of_a_grid_tells_its_question_and_its_runs(name: str) -> None:
    head, plan, study = head_of(name), plan_of(name), study_of(name)
    kinds = Counter(type(run.recipe) for run in plan.of("pretrain"))
    trained = [run.recipe for run in plan.of("pretrain") if isinstance(run.recipe, Trained)]
    seen = sum(recipe.samples_seen for recipe in trained) / 1e9
    assert head.startswith(study.question)
    assert f" {len(plan.runs):,} runs: {len(trained)} pre-trainings ({seen:.1f} billion " in head
    assert f" {kinds[Scratch]} encoders left at random, " in head
    assert kinds[Released] == 0 or f" {kinds[Released]} released, " in head
    assert f" {len(plan.of('finetune')):,} fine-tunings. " in head


@pytest.mark.parametrize("name", [*PAPER, *SMALL])
def test_the_head_of_a_grid_tells_the_gpu_hours_that_cost_estimates(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the card that is assumed where no site names one."""
    assert cost.main([str(ROOT / f"grids/{name}.yaml"), "--json"]) == 0
    estimated = json.loads(capsys.readouterr().out)["gpu_hours"]
    [told] = re.findall(r"GPU-hours: ([\d,]+) to ([\d,]+) on A100s of 40 GB", head_of(name))
    hours = [float(number.replace(",", "")) for number in told]
    assert hours == pytest.approx(estimated, rel=0.06)  # two digits


@pytest.mark.parametrize("name", [*PAPER, *SMALL])
def test_a_grid_gives_no_run_fewer_minutes_than_an_a100_needs(name: str, tmp_path: Path) -> None:
    site = Site(slurm=Slurm(cpus_per_gpu=8, gpu_type="a100"))
    plan = make_plan_without_data(study_of(name), site, Store(tmp_path / "store"))
    assert list(given_minutes_notes(plan, site.slurm)) == []


@pytest.mark.parametrize("name", [*PAPER, *SMALL])
def test_a_grid_has_three_seeds_ten_draws_of_probes_and_bf16(name: str) -> None:
    study = study_of(name)
    trained = [recipe for recipe in study.pretrains if isinstance(recipe, Trained)]
    assert {recipe.precision for recipe in trained} == {"bf16"}
    assert {recipe.seed for recipe in trained} == SEEDS
    assert {trial.precision for trial in study.trials if trial.mode != "zeroshot"} == {"bf16"}
    probes = {trial.draw for trial in study.trials if trial.mode == "lp" and trial.shots == 5}
    assert probes == (set() if study.protocol == "paper" else set(range(10)))


@pytest.mark.parametrize("name", PAPER)
def test_a_grid_tells_what_the_paper_found(name: str) -> None:
    assert ("The paper" in head_of(name) and " found" in head_of(name)) or "results" in head_of(
        name
    )


@pytest.mark.parametrize("name", PAPER)
def test_the_small_variant_is_a_part_of_the_grid(name: str) -> None:
    """A lab that starts with one GPU goes on from its runs when it has more."""
    small, large = (plan_of(each) for each in (f"small/{name}", name))
    assert {run.id for run in small.of("pretrain")} <= {run.id for run in large.of("pretrain")}
    trials = (study_of(each).trials for each in (f"small/{name}", name))
    few, many = ({trial.model_dump_json() for trial in each} for each in trials)
    assert few <= many
    assert study_of(f"small/{name}").resources.pretrain.gpus == 1


def test_pretrainings_that_grids_share_are_one_run() -> None:
    every = Counter(run_id for name in PAPER for run_id in pretrainings(name))
    called = {run_id: label for name in PAPER for run_id, label in pretrainings(name).items()}
    shared = Counter({run_id: n for run_id, n in every.items() if n > 1})
    assert (sum(every.values()), len(every)) == (174, 108)
    assert {called[run_id] for run_id in shared} == {
        "clip laion 1M", "clip laion 2.7M", "clip laion 5M", "clip laion 15M",
        "clip yfcc 2.7M", "clip yfcc 15M", "clip cc3m 2.7M", "clip cc12m 2.7M",
        "clip redcaps 2.7M", "clip wit 2.7M", "clip shutterstock 2.7M",
        "clip imagenet_captions 0.463622M", "supervised imagenet 1.28117M",
    }  # fmt: skip
    grids = {called[run_id]: n for run_id, n in shared.items()}
    assert grids["clip laion 2.7M"] == 5  # all but methods, which has no LAION


def test_encoders_left_at_random_are_the_same_in_all_grids() -> None:
    ids = {
        frozenset(run.id for run in plan_of(name).of("pretrain") if isinstance(run.recipe, Scratch))
        for name in PAPER
    }
    assert len(ids) == 1


def test_one_site_file_fits_all_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    site = load_site(ROOT / "grids/paper.site.yaml")
    trained = [r for name in PAPER for r in study_of(name).pretrains if isinstance(r, Trained)]
    assert {recipe.source for recipe in trained} == set(site.sources)
    assert {trial.dataset for name in PAPER for trial in study_of(name).trials} == set(
        site.datasets
    )


def test_all_files_of_the_folder_are_planned_as_one_union(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `launch grids/*.yaml --site ... --dry-run` names: the site file is left out and told."""
    monkeypatch.setenv("USER", "ada")
    paper = load_site(ROOT / "grids/paper.site.yaml")
    fields = {"imagenet": "jpg cls", "imagenet_captions": "jpg cls json"}
    site = {
        "store": "store",
        "sources": {
            name: str(source(tmp_path / name, fields.get(name, "jpg txt"), 15_000_000))
            for name in paper.sources
        },
        "datasets": {name: site_entry(name, tmp_path / name) for name in paper.datasets},
        "slurm": {"gpus_per_node": 8, "cpus_per_gpu": 8},
    }
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    grids = sorted(str(path) for path in ROOT.glob("grids/*.yaml"))
    call = [*grids, "--site", str(tmp_path / "site.yaml"), "--dry-run", "--on", "slurm"]
    assert launch.main(call) == 0
    told = capsys.readouterr()
    assert "paper.site.yaml" in told.err
    names, runs = zip(*(line.split()[:2] for line in told.out.splitlines()[2:8]), strict=True)
    assert set(names) == set(PAPER)
    every = {run.id for name in PAPER for run in plan_of(name).runs}
    assert sum(int(n.replace(",", "")) for n in runs) > len(every)
    assert f"together {len(every):,} runs, 0 done" in told.out
