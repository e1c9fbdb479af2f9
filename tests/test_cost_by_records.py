"""`python -m hpc_xfer.cost` and `launch --dry-run` where runs have finished: both say the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer import cost, launch
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run, make_plan
from hpc_xfer.study.study_file import load_study
from hpc_xfer.system import atomic_files
from tests.conftest import Command
from tests.fabricated import image_folder, record, source

GRID = """
name: first
pretrain:
  - {method: clip, arch: RN50, source: web, samples: [500, 1000], epochs: 2000,
     batch: 100, seed: [0, 1]}
finetune: {datasets: [toys], shots: [1, 5], draws: 3, mode: [ft], lr: 1e-3}
"""
SITE = """
store: store
sources: {web: web}
datasets: {toys: toys}
slurm: {gpu_type: a100, cpus_per_gpu: 8}
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of two grids that share most runs, of which some have finished on an A100."""
    monkeypatch.chdir(tmp_path)
    source(tmp_path / "web")
    image_folder(tmp_path / "toys", car=6, duck=6)
    Path("site.yaml").write_text(SITE)
    Path("first.yaml").write_text(GRID)
    Path("other.yaml").write_text(GRID.replace("first", "other").replace("draws: 3", "draws: 5"))
    plan = make_plan(load_study(Path("first.yaml")))
    parent = plan.of("pretrain")[0]
    finish(parent, samples_per_second=50.0)
    for run in plan.of("finetune")[:2]:
        finish(run)
    return ["first.yaml", "other.yaml", "--site", "site.yaml"]


def finish(run: Run, **metrics: float) -> None:
    folder = Store(Path("store")).run(run.id)
    record(Store(Path("store")), run, **metrics)
    content = atomic_files.read_json(folder.record)
    content["timing"]["seconds"] = 500.0
    content["provenance"] |= {"gpu": "NVIDIA A100-SXM4-40GB", "ranks": 1, "attempt": 1}
    atomic_files.write_json(folder.record, content)
    folder.encoder.touch()


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cost.main([*arguments, "--json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_a_finished_run_that_two_grids_share_counts_once(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rests_on = "FLOPs, A100-40; 1 finished pre-training; 2 finished fine-tunings"
    for grids in (call[:1], call[:2]):
        assert told([*grids, *call[2:]], capsys)["rests_on"] == rests_on
    notes = told([*call, "--gpu", "h100"], capsys)["notes"]
    assert [line.partition(",")[0] for line in notes if "not used" in line] == [
        "1 finished pre-training on NVIDIA A100-SXM4-40GB: not used",
        "2 finished fine-tunings on NVIDIA A100-SXM4-40GB: not used",
    ]


def test_finished_runs_of_which_no_kind_is_left_are_not_named(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for run in make_plan(load_study(Path("other.yaml"))).of("finetune"):
        if run.spec["shots"] == 1:
            finish(run)
    assert told(call, capsys)["rests_on"] == "FLOPs, A100-40; 1 finished pre-training"


def test_a_dry_run_tells_what_cost_tells(
    call: list[str], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("sbatch", "exit 1")
    command("scontrol", "exit 1")
    expected = told([call[0], *call[2:]], capsys)
    dry = [call[0], *call[2:], "--on", "slurm", "--dry-run"]
    assert launch.main([*dry, "--json"]) == 0
    estimate = json.loads(capsys.readouterr().out)["estimated_cost"]
    for key in ("runs", "gpu_hours", "disk_bytes", "peak_disk_bytes", "files", "rests_on"):
        assert estimate[key] == expected[key], key
    assert launch.main(dry) == 0
    assert "1 finished pre-training; 2 finished fine-tunings)" in capsys.readouterr().out


def test_records_tell_times_where_the_grid_gives_minutes(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ours = [call[0], *call[2:]]
    given = told([*ours, "--set", "resources.finetune.minutes=30"], capsys)
    assert given["rests_on"] == told(ours, capsys)["rests_on"]


def test_runs_on_another_card_than_that_of_the_site_tell_nothing(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("site.yaml").write_text(SITE.replace("a100", "h100"))
    fast = told(call, capsys)
    assert fast["rests_on"] == "FLOPs, H100"
    assert sum("not used" in line for line in fast["notes"]) == 2
