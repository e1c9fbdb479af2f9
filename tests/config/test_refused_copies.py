"""Copies of the nine data sets that are refused before a run, each with a way out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config.dataset_cards import CARDS, SplitCounts, card
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import dataset_info
from hpc_xfer.errors import DataError, StudyError
from tests.official_copies import make
from tests.official_copies.listed import FILES, listing


def refusal(name: str, place: Location) -> str:
    """The sentence, with the folder cut off."""
    with pytest.raises(DataError) as caught:
        dataset_info(name, place)
    text = str(caught.value)
    assert "\n" not in text and "; " in text  # one sentence, with a way out
    return text.replace(f"{place.path}/", "").replace(str(place.path), "ROOT")


def pop_line(path: Path, number: int = 0) -> str:
    """Remove one line of a list, and return it."""
    lines = path.read_text().splitlines(keepends=True)
    line = lines.pop(number)
    path.write_text("".join(lines))
    return line


@pytest.mark.parametrize("name", CARDS)
def test_a_folder_is_needed(name: str) -> None:
    with pytest.raises(StudyError) as caught:
        dataset_info(name, None)
    assert str(caught.value) == (
        f"data set {name!r}: the site file does not say where it lies; name its folder under "
        f"`datasets`, after `python -m hpc_xfer.datasets fetch {name}`"
    )


@pytest.mark.parametrize("name", CARDS)
def test_an_absent_or_empty_folder_is_told_with_the_command_that_fetches(
    name: str, tmp_path: Path
) -> None:
    fetch = f"run `python -m hpc_xfer.datasets fetch {name}`"
    assert refusal(name, Location("folder", tmp_path / "gone")) == (
        f"ROOT: no such folder; correct data set {name!r} in the site file, or {fetch}"
    )
    assert refusal(name, Location("folder", tmp_path)).endswith(
        f"so {name} is not here or not unpacked; correct the folder in the site file, or {fetch}"
    )


@pytest.mark.parametrize("name", [name for name in CARDS if name not in ("cifar100", "cct20")])
def test_a_copy_that_is_not_said_to_be_a_subset_has_too_few_images(
    name: str, tmp_path: Path
) -> None:
    whole = replace(make(name, tmp_path), counts=None)
    expected = card(name).counts.train
    assert f"training images, expected {expected:,} of {name}; run" in refusal(name, whole)


def test_the_images_that_the_owners_list_are_counted_where_some_are_left_out(
    tmp_path: Path,
) -> None:
    whole = replace(make("cct20", tmp_path), counts=None)
    assert refusal("cct20", whole).startswith(
        "ROOT: has 47 training images, expected 13,553 of cct20"
    )


@pytest.mark.parametrize("name", FILES)
def test_a_missing_image_is_named(name: str, tmp_path: Path) -> None:
    place = make(name, tmp_path)
    found = listing(name, place)
    gone = found.folder / found.train.names[0]
    gone.unlink()
    told = refusal(name, place)
    if found.lists:
        relative = gone.relative_to(tmp_path)
        assert told == f"{relative}: is listed but missing; fetch or unpack the data set again"
    else:
        assert "images, expected" in told


@pytest.mark.parametrize("name", ["dtd", "pets", "real", "clipart", "cassava"])
def test_a_line_that_stands_twice_is_told(name: str, tmp_path: Path) -> None:
    place = make(name, tmp_path)
    path = listing(name, place).lists[0]
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    assert "twice" in refusal(name, place)


@pytest.mark.parametrize("name", ["dtd", "pets", "real", "clipart"])
def test_an_image_in_training_and_test_is_told(name: str, tmp_path: Path) -> None:
    place = make(name, tmp_path)
    lists = listing(name, place).lists
    test = next(path for path in lists if ("test" in path.name and name != "real")
                or path.name == "real_test.txt")  # fmt: skip
    test.write_text(pop_line(lists[0]) + test.read_text())
    lists[0].write_text(test.read_text().splitlines(keepends=True)[0] + lists[0].read_text())
    assert "is listed in train and test; fetch the data set again" in refusal(name, place)


@pytest.mark.parametrize("name", FILES)
def test_a_list_that_is_cut_off_is_told(name: str, tmp_path: Path) -> None:
    place = make(name, tmp_path)
    lists = listing(name, place).lists
    for path in lists[:1]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refusal(name, place)
        path.write_bytes(b"")
        refusal(name, place)
        path.unlink()
        refusal(name, place)


def test_a_pickle_that_is_missing_or_cut_off_is_told(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    path = tmp_path / "cifar-100-python/test"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert refusal("cifar100", place) == (
        f"cifar-100-python/test: is cut off after {len(whole) - 100:,} bytes; run `python -m "
        "hpc_xfer.datasets fetch cifar100`"
    )
    path.unlink()
    assert refusal("cifar100", place).startswith("cifar-100-python/test: cannot be read")


@pytest.mark.parametrize(
    ("name", "folder"),
    [("caltech101", "caltech101/101_ObjectCategories"), ("eurosat", "eurosat/2750")],
)
def test_a_missing_or_additional_class_is_named(name: str, folder: str, tmp_path: Path) -> None:
    place = make(name, tmp_path)
    more = tmp_path / folder / "zeppelin"
    more.mkdir()
    assert refusal(name, place) == (
        f"{folder}/zeppelin: is not a class of {name}; unpack the data set again into a new folder"
    )
    more.rmdir()
    gone = card(name).folders[3]
    shutil.rmtree(tmp_path / folder / gone)
    assert refusal(name, place) == (
        f"{folder}/{gone}: is missing; unpack the data set again into a new folder"
    )


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("caltech101", "caltech101/101_ObjectCategories/ant/image_0001.jpg"),
        ("eurosat", "eurosat/2750/River/River_1.jpg"),
    ],
)
def test_a_file_that_was_copied_beside_itself_is_counted(
    name: str, file: str, tmp_path: Path
) -> None:
    place = make(name, tmp_path)
    path = tmp_path / file
    shutil.copy(path, path.with_name(f"{path.stem} (1).jpg"))
    assert " images, expected " in refusal(name, place)


def test_an_image_that_annotations_list_twice_is_told(tmp_path: Path) -> None:
    place = make("cct20", tmp_path)
    path = tmp_path / "eccv_18_annotation_files/train_annotations.json"
    content = json.loads(path.read_text())
    content["images"].append(content["images"][0])
    path.write_text(json.dumps(content))
    assert refusal("cct20", place) == (
        "eccv_18_annotation_files/train_annotations.json: lists an image twice; unpack the "
        "annotations again"
    )


def test_a_label_that_is_not_of_the_class_in_the_path_is_told(tmp_path: Path) -> None:
    place = make("real", tmp_path)
    path = tmp_path / "real_train.txt"
    path.write_text(path.read_text().replace("_000001.jpg 7\n", "_000001.jpg 8\n"))
    assert refusal("real", place) == (
        "real_train.txt:15: gives 'anvil' the label 8, which belongs to 'apple'; fetch the list "
        "again"
    )


def test_a_label_out_of_range_is_told(tmp_path: Path) -> None:
    place = make("pets", tmp_path)
    path = tmp_path / "oxford-iiit-pet/annotations/test.txt"
    path.write_text(path.read_text().replace("_4 37 ", "_4 38 "))
    assert refusal("pets", place) == (
        "oxford-iiit-pet/annotations/test.txt:37: label 37 is not one of the 37 classes; fetch the "
        "list again"
    )


def test_a_category_that_nobody_knows_is_told(tmp_path: Path) -> None:
    place = make("cct20", tmp_path)
    path = tmp_path / "eccv_18_annotation_files/cis_test_annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 97
    path.write_text(json.dumps(content))
    assert "has category 97, which is not one of the 15 classes" in refusal("cct20", place)


def test_other_names_of_categories_are_told(tmp_path: Path) -> None:
    place = make("cct20", tmp_path)
    path = tmp_path / "eccv_18_annotation_files/train_annotations.json"
    path.write_text(path.read_text().replace('"raccoon"', '"panda"'))
    assert "category 3 is 'panda', expected 'raccoon'" in refusal("cct20", place)


def test_a_class_without_training_images_is_told(tmp_path: Path) -> None:
    place = make("dtd", tmp_path)
    path = tmp_path / "dtd/dtd/labels/train1.txt"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("woven/")]
    path.write_text("\n".join(lines))
    fewer = replace(place, counts=SplitCounts(train=len(lines)))
    assert refusal("dtd", fewer).startswith(
        "ROOT: class 'woven' of dtd has no training images; run"
    )


def test_another_form_than_the_owners_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="'pets' is read in its owners' form and has class names"):
        dataset_info("pets", Location("imagefolder", tmp_path))
