"""A grid that gives a run fewer minutes than it takes on a fast card is told so."""

from pathlib import Path

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.store.finished_costs import make_plan_without_data
from hpc_xfer.store.store import Store
from hpc_xfer.study.study_file import load_study
from hpc_xfer.study.summary.given_minutes import given_minutes_notes

GRID = """
name: minutes
pretrain: [{method: clip, arch: RN50, source: laion, samples: 15M, epochs: 16}]
finetune: {datasets: [cifar100, pets], shots: [1, full], mode: [ft, lp], epochs: 100, lr: 1e-3}
resources:
  pretrain: {gpus: 8, minutes: PRETRAIN}
  finetune: {minutes: FINETUNE}
"""


def notes(folder: Path, pretrain: str, finetune: str) -> list[str]:
    text = GRID.replace("PRETRAIN", pretrain).replace("FINETUNE", finetune)
    (folder / "grid.yaml").write_text(text)
    study, site = load_study(folder / "grid.yaml"), Site(slurm=Slurm(cpus_per_gpu=8))
    return list(given_minutes_notes(make_plan_without_data(study, site, Store(folder / "store"))))


def test_the_kind_of_run_that_is_furthest_short_is_named(tmp_path: Path) -> None:
    pretrain, finetune = notes(tmp_path, "1h", "{1: 20, full: 10}")
    assert pretrain.startswith(
        "resources.pretrain.minutes gives 60 to clip of RN50, 240,000,000 samples, which takes "
    )
    assert finetune.startswith(
        "resources.finetune.minutes gives 10 to ft of RN50 on cifar100 at full data, which takes "
    )
    assert " or more on a fast card with 8 CPUs, and " in finetune
    assert finetune.endswith("give more minutes, or write auto")


@pytest.mark.parametrize(("pretrain", "finetune"), [("auto", "auto"), ("48h", "48h")])
def test_nothing_is_said_of_enough_minutes_or_of_none(
    pretrain: str, finetune: str, tmp_path: Path
) -> None:
    assert notes(tmp_path, pretrain, finetune) == []


def test_minutes_by_size_are_judged_size_by_size(tmp_path: Path) -> None:
    assert notes(tmp_path, "{15M: 48h}", "auto") == []
    [note] = notes(tmp_path, "{15M: 2h}", "auto")
    assert "resources.pretrain.minutes gives 120 to clip of RN50" in note
