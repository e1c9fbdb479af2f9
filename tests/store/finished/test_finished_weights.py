"""Statements on weights that were changed after runs were made with them: the launch says so."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from hpc_xfer.compute.models import encoders
from hpc_xfer.config.recipes import Released
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.resources import Resources
from hpc_xfer.config.site import Site
from hpc_xfer.store.finished.finished_weights import changed_weights
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run
from tests import tiny

RUN = Run("pretrain", Released(arch="torchvision/resnet18", weights="mine"))
MEAN: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
OTHER: dict[str, Any] = {"mean": (0.4, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "w.pth"
    with encoders.seeded(7):
        torch.save({"model": torchvision.models.resnet18().state_dict()}, file)
    return file


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        ({}, {}, None),
        (MEAN, MEAN, None),
        ({"size": 64}, {}, None),  # nothing is stated that differs
        ({}, MEAN, "mean or std"),  # as the first launch had asked for
        (MEAN, OTHER, "mean or std"),
        (MEAN, {}, "mean or std"),
        ({}, {"size": 64}, "size"),
        ({}, {"key": "model"} | MEAN, "key and mean or std"),
    ],
)
def test_a_launch_says_which_finished_runs_used_weights_otherwise(
    before: dict[str, Any], now: dict[str, Any], changed: str | None, file: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    tiny.finished(store, RUN, released={"mine": ReleasedEntry(path=str(file), **before)})
    site = Site(released={"mine": ReleasedEntry(path=str(file), **now)})
    found = list(changed_weights(Plan((RUN,), Resources()), {RUN.id}, store, site))
    expected = (
        f"finished runs, the first {RUN.id}, used weights mine with another {changed} than the "
        "site file states now; to run with the new ones, give them another name there and in the "
        "grid"
    )
    assert found == ([] if changed is None else [expected])
    assert not list(changed_weights(Plan((RUN,), Resources()), set(), store, site))


def test_another_file_under_the_same_name_is_told(file: Path, tmp_path: Path) -> None:
    store, own = Store(tmp_path / "store"), tmp_path / "w.pth"
    own.write_bytes(file.read_bytes())
    tiny.finished(store, RUN, released={"mine": own})
    plan, site = Plan((RUN,), Resources()), Site(released={"mine": str(own)})
    assert not list(changed_weights(plan, {RUN.id}, store, site))
    torch.save(torchvision.models.resnet18().state_dict(), own)  # without the key `model`
    [sentence] = changed_weights(plan, {RUN.id}, store, site)
    assert "used weights mine with another file than the site file states now" in sentence
    own.unlink()
    assert not list(changed_weights(plan, {RUN.id}, store, site))  # preflight says that it is gone
