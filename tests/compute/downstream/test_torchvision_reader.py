"""Data sets of torchvision, by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision import datasets as torchvision_datasets

from hpc_xfer.compute.downstream import datasets
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import dataset_info
from tests.compute.downstream.own_datasets import load, refusal
from tests.official_copies import make


def test_files_of_a_torchvision_set_are_read_with_its_validation_split(tmp_path: Path) -> None:
    make("dtd", tmp_path)
    place = Location("torchvision", tmp_path, "DTD")
    info = dataset_info("torchvision:DTD", place)
    assert (info.title, info.classes, info.complete) == ("DTD of torchvision", (), False)
    data = datasets.load(info, place)
    assert (data.info.train, data.info.test, data.info.official_val) == (94, 94, 94)
    assert data.info.classes[:2] == ("banded", "blotchy")
    assert isinstance(data.train, datasets.ImageFiles)
    assert data.val is not None and len(data.val) == 94
    assert len(datasets.training_images(info, place)) == 94
    datasets.check_readable(info, place)


@pytest.fixture
def usual(tmp_path: Path) -> Location:
    """FashionMNIST in its four files: 3 training and 2 test images of each of its ten classes."""
    folder = tmp_path / "FashionMNIST/raw"
    folder.mkdir(parents=True)
    for name, n in (("train", 3), ("t10k", 2)):
        labels = bytes(label for _ in range(n) for label in range(10))
        head = (8 << 8 | 3).to_bytes(4, "big") + b"".join(
            side.to_bytes(4, "big") for side in (len(labels), 28, 28)
        )
        images = b"".join(bytes([20 * label] * 784) for label in labels)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + images)
        head = (8 << 8 | 1).to_bytes(4, "big") + len(labels).to_bytes(4, "big")
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(head + labels)
    return Location("torchvision", tmp_path, "FashionMNIST")


def test_images_that_torchvision_keeps_in_memory_are_read_from_there(usual: Location) -> None:
    data = load("fashion", usual)
    assert isinstance(data.train, datasets.ColorImages)
    assert (data.info.train, data.info.test, data.info.official_val) == (30, 20, 0)
    assert data.info.classes[0] == "T-shirt/top"
    assert data.train.image(4)[:, 3, 3].tolist() == [80, 80, 80]
    assert data.fingerprint == load("fashion", usual).fingerprint


def test_own_class_names_of_a_torchvision_set_must_be_as_many(usual: Location) -> None:
    few = replace(usual, class_names=("shirt", "shoe"))
    assert "labels besides 0 to 1; correct the class names" in refusal("fashion", few)


def test_classes_of_torchvision_may_be_named_by_its_names(usual: Location) -> None:
    known = load("fashion", usual).info.classes
    by_name = {name: f"a kind of {name}" for name in known}
    (usual.path / "classes.json").write_text(json.dumps(by_name))
    info = load("fashion", usual).info
    assert info.classes[0] == "a kind of T-shirt/top" and info.names_stated
    assert info.notes[0].startswith(f"class names come from {usual.path}/classes.json, the first")
    (usual.path / "classes.json").write_text(json.dumps([*known[1:], known[0]]))
    assert "has the names of the folders in another order" in refusal("fashion", usual)


def test_equal_images_of_torchvision_are_counted(usual: Location) -> None:
    """The made-up images of a class are all equal."""
    assert load("fashion", usual).copies == {"test_in_train": 20}


def test_a_set_that_is_not_downloaded_is_told(tmp_path: Path) -> None:
    place = Location("torchvision", tmp_path, "DTD")
    assert refusal("torchvision:DTD", place).startswith(
        f"torchvision:DTD: cannot be opened in {tmp_path} (Dataset not found."
    )


@pytest.mark.parametrize("kind", ["DTDD", "Any", "os"])
def test_a_name_that_torchvision_does_not_have_is_told(kind: str, tmp_path: Path) -> None:
    place = Location("torchvision", tmp_path, kind)
    assert refusal("x", place) == (
        f"torchvision:{kind}: torchvision has no such data set; correct its name"
    )


def test_a_set_without_splits_is_told(tmp_path: Path) -> None:
    make("eurosat", tmp_path)
    assert refusal("x", Location("torchvision", tmp_path, "EuroSAT")) == (
        "torchvision:EuroSAT: has no training and test split; make an image folder of it"
    )
    assert hasattr(torchvision_datasets, "EuroSAT")
