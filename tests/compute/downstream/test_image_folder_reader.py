"""Image folders with names and prompts of the user's own."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import dataset_info
from hpc_xfer.dataset_tools.stand_ins.tiny_images import write
from hpc_xfer.errors import StudyError
from tests.compute.downstream.own_datasets import load
from tests.official_copies import make


def test_an_image_folder_may_have_own_names_and_prompts(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label, name in enumerate(("n01440764", "n01443537")):
            write(tmp_path / split / name / "a.png", label, kind="png")
    bare = Location("imagefolder", tmp_path)
    assert not dataset_info("fish", bare).meaningful_names
    own = replace(bare, class_names=("tench", "goldfish"), templates=("a {} swims",))
    data = load("fish", own)
    assert data.info.meaningful_names
    assert (data.info.classes, data.info.templates) == (("tench", "goldfish"), ("a {} swims",))
    with pytest.raises(StudyError, match="has 2 classes, but the site file has 3 class_names"):
        dataset_info("fish", replace(own, class_names=("a", "b", "c")))
    same = replace(own, class_names=("crane", "crane"))  # ImageNet's own list has it twice
    assert load("fish", same).info.classes == ("crane", "crane")


def test_counts_are_for_subsets_of_packaged_data_sets(tmp_path: Path) -> None:
    place = replace(make("pets", tmp_path), form="imagefolder")
    with pytest.raises(StudyError, match="`counts` is for a subset of a packaged data set; remove"):
        dataset_info("cats", place)


def test_a_gray_image_file_becomes_color(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            path = tmp_path / split / name / "x.png"
            path.parent.mkdir(parents=True)
            Image.new("L", (4, 3), 9).save(path)
    assert load("gray", Location("folder", tmp_path)).test.image(0).shape == (3, 3, 4)
