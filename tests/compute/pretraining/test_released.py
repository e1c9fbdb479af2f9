"""Runs of `method: released`: what their record tells, and that no broken encoder is recorded."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from hpc_xfer.compute.models import encoders
from hpc_xfer.config.recipes import Released
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.errors import DataError
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from tests import tiny

RESNET = "torchvision/resnet18"
RUN = Run("pretrain", Released(arch=RESNET, weights="mine"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with encoders.seeded(7):
        torch.save({"model": torchvision.models.resnet18().state_dict()}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def released(root: Path, file: Path, **stated: Any) -> RunDir:
    entry = ReleasedEntry(path=str(file), **stated)
    return tiny.finished(Store(root), RUN, released={"mine": entry})


def told(run: RunDir) -> dict[str, Any]:
    weights: dict[str, Any] = tiny.record(run)["provenance"]["data"]["weights"]
    return {k: v for k, v in weights.items() if k not in ("sha256", "bytes")}


def test_the_record_tells_what_is_used_who_says_so_and_what_nothing_tells(
    tmp_path: Path, file: Path
) -> None:
    mean, std = encoders.IMAGENET_NORMALIZATION
    assert told(released(tmp_path / "store", file)) == {
        "name": "mine",
        "parts": ["visual"],
        "mean": list(mean),
        "std": list(std),
        "normalization_by": "arch",
        "image_size": 224,
        "left_out": ["fc.*"],
        "notes": [
            f"nothing tells the mean and std of {file}; those of arch {RESNET} are taken; state "
            "them with `mean` and `std`"
        ],
    }


def test_what_the_site_states_is_used_by_all_that_start_from_the_run(
    tmp_path: Path, file: Path
) -> None:
    stated: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "size": 64}
    run = released(tmp_path / "store", file, **stated)
    found = told(run)
    assert (found["normalization_by"], found["image_size"]) == ("site file", 64)
    _, towers = encoders.load(run.encoder)
    assert towers.normalization == (stated["mean"], stated["std"])
    assert towers.image_size == 64


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_leave_no_record(
    bad: float, tmp_path: Path, file: Path
) -> None:
    state = torch.load(file, weights_only=True)["model"]
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = bad
    torch.save(state, file)
    store = Store(tmp_path / "store")
    event = tiny.execute(store, RUN, released={"mine": file})[-1]
    assert (event["event"], event["class"]) == ("failed", "data")
    assert event["message"] == (
        f"{file}: 1 of 120 tensors have NaN or infinite weights, the first layer1.0.conv1.weight; "
        "fetch it again or take an earlier checkpoint"
    )
    assert not store.run(RUN.id).record.exists() and not store.run(RUN.id).encoder.exists()


def test_heads_that_are_left_out_may_be_broken(tmp_path: Path, file: Path) -> None:
    state = torch.load(file, weights_only=True)["model"]
    state["fc.weight"].fill_(float("nan"))
    torch.save(state, file)
    assert told(released(tmp_path / "store", file))["left_out"] == ["fc.*"]


def test_the_record_tells_which_weights_of_a_file_were_taken(tmp_path: Path, file: Path) -> None:
    assert told(released(tmp_path / "store", file, key="model"))["key"] == "model"


def test_an_encoder_that_is_not_finite_is_no_parent(tmp_path: Path) -> None:
    towers = encoders.build(tiny.ARCH, seed=0, with_text=False)
    with torch.no_grad():
        next(towers.visual.parameters()).fill_(float("nan"))
    encoders.save(tmp_path / "encoder.pt", tiny.ARCH, towers)
    with pytest.raises(DataError, match=r"NaN or infinite weights in visual\.conv1\.weight"):
        encoders.load(tmp_path / "encoder.pt")


def test_the_first_number_that_is_not_finite_is_named() -> None:
    towers = encoders.build(tiny.ARCH, seed=0, with_text=True)
    assert encoders.not_finite(towers) is None
    towers.logit_scale = torch.tensor(float("nan"))
    assert encoders.not_finite(towers) == "logit_scale"
    with torch.no_grad():
        next(towers.visual.parameters()).fill_(float("inf"))
    assert encoders.not_finite(towers) == "visual.conv1.weight"
