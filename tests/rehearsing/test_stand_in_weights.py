"""Stand-ins for released weights: files in the form of the real ones, read by the real reader."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.compute.models import encoders, pretrained_weights
from hpc_xfer.config.recipes import Architecture
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.dataset_tools.stand_ins.tiny_towers import shapes_of
from hpc_xfer.dataset_tools.stand_ins.weights import write_weights
from hpc_xfer.study.stand_ins.stand_in_study import needed_weights
from hpc_xfer.study.study_file import load_study

GRID = """
name: others
pretrain: [{method: released, arch: [RN50, ViT-B-32], weights: openai}]
"""
HALF = (0.5, 0.5, 0.5)


def tiny(folder: Path, name: str) -> Architecture:
    (folder / "grid.yaml").write_text(GRID)
    return needed_weights(load_study(folder / "grid.yaml"))[f"openai-{name}"].arch


@pytest.fixture
def arch(tmp_path: Path) -> Architecture:
    return tiny(tmp_path, "ViT-B-32")


def read(arch: Architecture, entry: dict[str, Any]) -> encoders.Towers:
    weights = pretrained_weights.read(arch, "mine", ReleasedEntry(**entry))
    towers, loaded = pretrained_weights.whole(arch, weights)
    assert loaded.parts == ("visual", "text", "logit_scale")
    return towers


@pytest.mark.parametrize("name", ["RN50", "ViT-B-32"])
def test_names_and_shapes_are_those_of_open_clip(tmp_path: Path, name: str) -> None:
    arch = tiny(tmp_path, name)
    towers = encoders.build(arch, seed=0, with_text=True)
    assert towers.text is not None
    parts = {"visual": towers.visual.state_dict(), "text": towers.text.state_dict()}
    names = {f"{part}.{name}": tuple(x.shape) for part in parts for name, x in parts[part].items()}
    assert dict(shapes_of(arch)) == names


@pytest.mark.parametrize(
    "name", ["mine.pt", "a.safetensors", "b.safetensors.index.json", "c.pth.tar", "hub"]
)
@pytest.mark.parametrize("key", [None, "ema.model"])
def test_each_form_of_a_file_is_read_to_the_same_weights(
    tmp_path: Path, arch: Architecture, name: str, key: str | None
) -> None:
    by_tag = read(arch, write_weights(tmp_path / "tag/mine", arch, None))
    entry = ReleasedEntry(path=f"/data/{name}", key=key)
    towers = read(arch, write_weights(tmp_path / "file/mine", arch, entry))
    own, others = towers.visual.state_dict(), by_tag.visual.state_dict()
    assert all(torch.equal(own[each], others[each]) for each in own)


def test_what_the_site_file_states_is_kept_for_the_tiny_architecture(
    tmp_path: Path, arch: Architecture
) -> None:
    entry = ReleasedEntry(path="mine.pt", mean=HALF, std=HALF, size=224, activation="quick_gelu")
    written = write_weights(tmp_path / "mine", arch, entry)
    assert (written["size"], written["activation"]) == (32, "gelu")
    stated = {each: tuple(written.pop(each)) for each in ("mean", "std")}
    towers = read(arch, {**written, **stated})
    assert (towers.normalization, towers.image_size) == ((HALF, HALF), 32)
