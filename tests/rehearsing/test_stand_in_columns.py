"""Stand-ins for sources have what selections ask for, and leave them enough samples."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer import shards
from hpc_xfer.config.recipes import Clip, Supervised, Trained
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.training_data import columns
from hpc_xfer.config.training_data.captions import Caption
from hpc_xfer.config.training_data.choose import choose
from hpc_xfer.config.training_data.selection import SampleSelection
from hpc_xfer.config.training_data.source_needs import source_needs
from hpc_xfer.dataset_tools.stand_ins.shards import write_source
from hpc_xfer.errors import StudyError

CLIP: dict[str, Any] = {"arch": "RN50", "source": "web", "samples_seen": 32, "batch": 16}


def clip(samples: int = 64, **select: Any) -> Clip:
    return Clip(**CLIP, samples=samples, select=SampleSelection(**select))


def write(folder: Path, *recipes: Trained) -> ShardIndex:
    write_source(folder, source_needs(recipes)["web"])
    return ShardIndex.load(folder)


def left(index: ShardIndex, recipe: Trained) -> int:
    assert recipe.select is not None
    return len(choose(columns.load(index), recipe.select, recipe.subset_seed).samples)


def test_each_selection_leaves_enough_samples_and_not_all(tmp_path: Path) -> None:
    recipes = [
        clip(above={"clip_score": 0.3}),
        clip(80, above={"clip_score": -2e9, "width": 512}, distinct="phash"),
        clip(above={"clip_score": 0.3}, best={"aesthetic": 0.25}),
        clip(above={"clip_score": 0.3}, below={"clip_score": 0.9, "punsafe": 0.5}),
        clip(per_class=10),
    ]
    index = write(tmp_path, *recipes)
    for recipe in recipes:
        assert recipe.samples <= left(index, recipe) < index.samples


def test_more_classes_than_usual_are_made_where_a_selection_draws_them(tmp_path: Path) -> None:
    select = SampleSelection(classes=12, per_class=8)
    recipe = Supervised(**CLIP, samples=96, select=select)
    index = write(tmp_path, recipe)
    assert index.classes is not None and len(index.classes) == 12
    assert left(index, recipe) == 96


def test_the_columns_are_those_that_shards_index_finds_in_the_samples(tmp_path: Path) -> None:
    label = Supervised(**CLIP, samples=64, label="wnid", select=SampleSelection(above={"wnid": 2}))
    texts = clip(distinct="title").model_copy(update={"caption": Caption(keys=("title",))})
    write(tmp_path, clip(above={"score": 0.3}, distinct="phash", per_class=20), label, texts)
    written = json.loads((tmp_path / "columns.json").read_text())
    names = ",".join(each["name"] for each in written["columns"])
    again = ["index", str(tmp_path), "--label-key", "wnid", "--columns", names, "--workers", "1"]
    assert shards.main(again) == 0
    found = json.loads((tmp_path / "columns.json").read_text())
    assert found["columns"] == written["columns"]
    assert {each["name"] for each in found["columns"] if each["missing"]} == {"phash", "score"}


def test_a_selection_that_would_need_very_many_samples_is_refused(tmp_path: Path) -> None:
    few = {f"column_{i}": 0.25 for i in range(8)}
    with pytest.raises(StudyError, match=r"leaves .* of .* samples, and 64 are asked; a stand-in"):
        write(tmp_path, clip(best=few))
    with pytest.raises(StudyError, match="the column 'class' does not hold numbers"):
        write(tmp_path, clip(above={"class": 3.0}))
