"""The grid of the paper's size study: it plans, its head comment is true, its site file fits it."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpc_xfer.config.dataset_location import DatasetEntry
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Clip, Released, Scratch
from hpc_xfer.config.site import Site, load_site
from hpc_xfer.errors import StudyError
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.preflight.check_inputs import check_inputs
from hpc_xfer.study.study_file import Study, load_study
from tests.conftest import ROOT
from tests.fabricated import source
from tests.official_copies import site_entry

GRID = ROOT / "grids/size_scaling.yaml"
SITE = ROOT / "grids/paper.site.yaml"
SIZES = {
    "laion": [500_000, 1_000_000, 2_700_000, 5_000_000, 7_500_000, 9_600_000, 15_000_000],
    "yfcc": [500_000, 2_700_000, 15_000_000],
}
EQUAL_COMPUTE = 43_200_000  # samples seen; 16 epochs of 2.7 million see as many
SEEDS = [0, 1, 2]
DATASETS = [
    "cifar100", "dtd", "caltech101", "pets", "real", "clipart", "eurosat", "cassava", "cct20",
]  # fmt: skip
# Runs per encoder and data set: draws times learning rates, or draws of a probe.
RUNS: dict[str, dict[object, int]] = {
    "ft": {1: 5 * 4, 5: 5 * 4, 10: 3 * 4, 20: 3 * 4, "full": 1 * 4},
    "lp": {1: 10, 5: 10, 10: 10, 20: 10, "full": 1},
}
DRAWS = {1: 10, 5: 10, 10: 10, 20: 10, "full": 1}


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(GRID)


@pytest.fixture(scope="module")
def plan(study: Study) -> Plan:
    return make_plan(study)


@pytest.fixture(scope="module")
def filled_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site file whose sources claim 15 million samples and whose data sets are tiny."""
    folder = tmp_path_factory.mktemp("stand-ins")
    value: dict[str, Any] = {"store": "store", "slurm": {"gpus_per_node": 8}}
    value["sources"] = {name: str(source(folder / name, "jpg txt", 15_000_000)) for name in SIZES}
    value["datasets"] = {name: site_entry(name, folder / name) for name in DATASETS}
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def trials(plan: Plan) -> list[Finetune]:
    return [run.recipe for run in plan.of("finetune") if isinstance(run.recipe, Finetune)]


def launch(*args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "hpc_xfer.launch", "grids/size_scaling.yaml", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def told(study: Study, where: Site) -> list[str]:
    with pytest.raises(StudyError) as refused:
        check_inputs(study, where)
    return str(refused.value).splitlines()


def test_every_size_is_pretrained_with_every_seed_and_scratch_too(plan: Plan) -> None:
    recipes = [run.recipe for run in plan.of("pretrain")]
    trained = [(r.source, r.samples, r.seed) for r in recipes if isinstance(r, Clip)]
    once = [(n, size, s) for n in SIZES for size in SIZES[n] for s in SEEDS]
    again = [(n, size, s) for n in SIZES for size in (500_000, 15_000_000) for s in SEEDS]
    assert trained == once + again
    assert [r.seed for r in recipes if isinstance(r, Scratch)] == SEEDS
    assert {r.arch for r in recipes if isinstance(r, Clip | Scratch)} == {"RN50"}


def test_released_weights_tell_the_change_of_architecture_on_equal_data(plan: Plan) -> None:
    released = {(r.weights, r.arch) for r in (run.recipe for run in plan.of("pretrain"))
                if isinstance(r, Released)}  # fmt: skip
    both = {("openai", "RN50-quickgelu"), ("openai", "ViT-B-32-quickgelu")}
    assert released - both == {
        ("laion400m_e32", "ViT-B-32-quickgelu"), ("laion2b_e16", "ViT-B-32"),
    } and both <= released  # fmt: skip


def test_pretrainings_of_one_source_and_seed_differ_in_size_alone(plan: Plan) -> None:
    """Smaller subsets lie inside larger ones where source and subset_seed are the same."""
    recipes = [run.recipe for run in plan.of("pretrain") if isinstance(run.recipe, Clip)]
    alike = (16 * r.samples == r.samples_seen or r.samples_seen == EQUAL_COMPUTE for r in recipes)
    assert all(alike)
    rest = {r.model_copy(update={"samples": 0, "samples_seen": 0}).model_dump_json()
            for r in recipes}  # fmt: skip
    assert len(rest) == len(SIZES) * len(SEEDS)
    assert {(r.subset_seed, r.batch, r.precision) for r in recipes} == {(0, 1024, "bf16")}


def test_every_encoder_gets_the_same_trials(study: Study, plan: Plan) -> None:
    """Zero-shot is for those with a text tower: all but scratch."""
    per_parent = Counter(run.parents[0].id for run in plan.of("finetune"))
    texts = {run.id: run.spec["method"] != "scratch" for run in plan.of("pretrain")}
    n, without = len(study.trials), len(study.trials) - len(DATASETS)
    assert per_parent == {run_id: n if text else without for run_id, text in texts.items()}


def test_every_data_set_is_tried_at_every_shot_count(plan: Plan) -> None:
    found = Counter((t.dataset, t.shots, t.mode) for t in trials(plan))
    expected: dict[tuple[str, object, str], int] = {
        (name, shots, mode): 49 * runs
        for name in DATASETS
        for mode in RUNS
        for shots, runs in RUNS[mode].items()
    }
    assert found == expected | {(name, 0, "zeroshot"): 46 for name in DATASETS}


def test_draws_are_nested_since_they_share_all_that_decides_them(plan: Plan) -> None:
    assert {t.validation for t in trials(plan) if t.shots} == {"few"}
    draws = {shots: {t.draw for t in trials(plan) if t.shots == shots} for shots in DRAWS}
    assert draws == {shots: set(range(n)) for shots, n in DRAWS.items()}


def test_the_site_file_names_what_the_grid_uses(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ada")
    shipped = load_site(SITE)
    assert set(SIZES) <= set(shipped.sources)
    assert sorted(shipped.datasets) == sorted(DATASETS)
    assert {trial.dataset for trial in trials(plan)} == set(DATASETS)
    assert shipped.store == "/scratch/ada/hpc_xfer"
    assert set(shipped.datasets.values()) == {"/data/transfer"}
    monkeypatch.setenv("DATASETS", "/mnt/sets")
    assert load_site(SITE).datasets["pets"] == "/mnt/sets"


def test_the_site_file_finds_each_data_set_in_the_one_folder_that_fetch_fills(
    study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Here are small copies, so the numbers of images are those of the copies."""
    monkeypatch.setenv("DATASETS", str(tmp_path))
    copies = {name: site_entry(name, tmp_path) for name in DATASETS}
    shipped = load_site(SITE).datasets
    assert {name: entry["path"] for name, entry in copies.items()} == shipped
    lines = told(study, Site.model_validate({"datasets": copies}))
    assert {"source" in line for line in lines} == {True}  # and nothing on a data set


def test_slurm_would_get_a_job_per_pretraining_and_a_few_arrays_per_encoder(
    filled_in: Path,
) -> None:
    done = launch("--site", str(filled_in), "--dry-run", "--on", "slurm", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    dry = json.loads(done.stdout)
    kinds = Counter(job["name"].split(".")[0] for job in dry["jobs"])
    assert (kinds.pop("pre"), kinds.pop("relay")) == (49, 1)
    assert all(kind.startswith("ft") for kind in kinds)
    assert 49 <= sum(kinds.values()) <= 49 * 4
    assert sum(job["runs"] for job in dry["jobs"]) == dry["counts"]["runs"]


def test_without_a_site_each_source_and_data_set_is_told_once(study: Study) -> None:
    lines = told(study, Site())
    sources = [re.findall(r"no site file says where source '(\w+)' lies", line) for line in lines]
    assert sorted(filter(None, sources)) == sorted([[name] for name in SIZES] * 2)  # two blocks
    names = [re.findall(r"data set '(\w+)': the site file does not say", line) for line in lines]
    names = [each for each in names if each]
    assert sorted(names) == sorted([name] for name in DATASETS)


def test_a_site_that_is_not_filled_in_is_told_with_its_paths(
    study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SHARDS", "DATASETS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    lines = [line.split(": ", 2)[2] for line in told(study, load_site(SITE))]
    gone = f"{tmp_path}/%s: no such folder; correct %s in the site file"
    fetch = ", or run `python -m hpc_xfer.datasets fetch %s`"
    assert sorted(lines) == sorted(
        [gone % (f"SHARDS/{name}", "the path") for name in ("laion", "yfcc15m")]
        + [gone % ("DATASETS", f"data set '{name}'") + fetch % name for name in DATASETS]
    )


def test_a_source_that_is_too_small_or_has_no_index_is_told(
    study: Study, filled_in: Path, tmp_path: Path
) -> None:
    small = source(tmp_path / "small", "jpg txt", 14_000_000)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "0.tar").write_bytes(bytes(10))
    sources = {"laion": str(small), "yfcc": str(bare)}
    where = load_site(filled_in).model_copy(update={"sources": sources})
    assert [line.split(": ", 1)[1] for line in told(study, where)][:2] == [
        "pretrain.0.samples: asks for 15,000,000 of a source that has 14,000,000; lower it",
        f"pretrain.1.source: {bare}: has 1 shard but no index.json; run `python -m "
        f"hpc_xfer.shards index {bare}`",
    ]


def test_a_data_set_that_is_no_longer_whole_is_told(
    study: Study, filled_in: Path, tmp_path: Path
) -> None:
    known = load_site(filled_in)
    entry = DatasetEntry.model_validate_json(json.dumps(site_entry("pets", tmp_path)))
    (tmp_path / "oxford-iiit-pet/images/pug_2.jpg").unlink()
    where = known.model_copy(update={"datasets": {**known.datasets, "pets": entry}})
    lines = [line.split(": ", 1)[1] for line in told(study, where)]
    assert lines == [
        f"defaults.finetune.datasets.3: {tmp_path}/oxford-iiit-pet/images/pug_2.jpg: is listed but "
        "missing; fetch or unpack the data set again"
    ]
