"""The script that makes shards of ImageNet-Captions: they are read, and a wrong input is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer import shards
from hpc_xfer.config import shard_index
from tests import data_page
from tests.conftest import ROOT

IMAGES = ["n01440764_1.JPEG", "n01440764_2.JPEG", "n01443537_1.JPEG"]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """ImageNet's form: a folder per class, and a list of texts by the names of images."""
    for number, name in enumerate(IMAGES):
        folder = tmp_path / "train" / name.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data_page.photo(number))
    texts(tmp_path, IMAGES)
    return tmp_path


def texts(folder: Path, names: list[str]) -> None:
    entries = [{"filename": name, "title": "my pet", "tags": ["fish"], "description": ""}
               for name in names]  # fmt: skip
    (folder / "captions.json").write_text(json.dumps(entries))


def made(folder: Path) -> "subprocess.CompletedProcess[str]":
    script = ROOT / "docs/imagenet_captions.py"
    words = [sys.executable, str(script), "train", "captions.json", "out"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def test_its_shards_have_images_classes_and_the_texts_that_grids_read(inputs: Path) -> None:
    assert made(inputs).stdout == "out: 3 images of 2 classes; 0 are absent\n"
    assert shards.main(["index", str(inputs / "out")]) == 0
    index = shard_index.parse(inputs / "out")
    assert (index.samples, index.fields) == (3, ("cls", "jpg", "json"))
    assert dict(index.texts) == {"tags": 3, "title": 3}  # an empty description is none


def test_the_same_call_makes_the_same_shards(inputs: Path) -> None:
    made(inputs)
    first = (inputs / "out/00000.tar").read_bytes()
    made(inputs)
    assert (inputs / "out/00000.tar").read_bytes() == first


def test_texts_of_other_images_are_refused_before_anything_is_written(inputs: Path) -> None:
    texts(inputs, [*IMAGES, "n02000000_7.JPEG"])
    assert made(inputs).stderr == "train: has 3 of the 4 images; correct a path\n"
    assert not (inputs / "out").exists()


def test_a_path_that_is_not_there_is_told_in_one_sentence(inputs: Path) -> None:
    (inputs / "captions.json").unlink()
    assert made(inputs).stderr == "captions.json: no such file; correct the path\n"
    (inputs / "train").rename(inputs / "train2")
    assert made(inputs).stderr == "train: no such folder; correct the path\n"


def test_shards_of_another_call_are_not_mixed_with_new_ones(inputs: Path) -> None:
    (inputs / "out").mkdir()
    (inputs / "out/00007.tar").touch()
    assert "out: holds 00007.tar, which is of another call" in made(inputs).stderr
