import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpc_xfer.compute.downstream.check_dataset import DatasetReport, check_dataset, read_dataset
from hpc_xfer.errors import DataError, StudyError
from tests import official_copies

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def write(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), color, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes; every image has a color of its own."""
    for number, (split, images) in enumerate({"train": 3, "test": 2}.items()):
        for label, name in enumerate(("cat", "dog")):
            for i in range(images):
                write(tmp_path / f"{split}/{name}/{i}.png", (number * 99, label * 99, i * 50))
    return tmp_path


def ignored(done: int, total: int) -> None:
    """Take no notice of progress."""


def check(folder: Path) -> DatasetReport:
    return check_dataset(read_dataset("mine", folder, ignored), 2, ignored)


def test_a_sound_data_set_has_counts_and_a_fingerprint(folder: Path) -> None:
    report = check(folder)
    assert [(split.name, split.class_counts) for split in report.splits] == [
        ("train", (3, 3)),
        ("test", (2, 2)),
    ]
    assert not report.problems and not report.shared and len(report.fingerprint) == 64
    assert all(not split.undecodable and not split.duplicates for split in report.splits)


def test_images_that_cannot_be_decoded_are_counted_and_the_first_ones_named(folder: Path) -> None:
    for i in range(30):
        (folder / f"train/cat/x{i:02d}.png").write_bytes(b"no image")
    report = check(folder)
    assert report.problems == (
        "data set 'mine': 30 images cannot be decoded; fetch or restore the data set",
    )
    assert len(report.splits[0].undecodable) == 30 and len(report.examples) == 20
    assert (
        report.examples[0] == f"{folder}/train/cat/x00.png: is not an image; replace or remove it"
    )


def test_equal_images_are_found_within_a_split_whatever_their_file_is(folder: Path) -> None:
    pixels = Image.open(folder / "train/cat/0.png")
    pixels.save(folder / "train/cat/again.bmp")
    shutil.copy(folder / "train/cat/1.png", folder / "train/dog/label noise.png")
    report = check(folder)
    assert (report.splits[0].duplicates, report.splits[0].mixed) == (2, 1)
    assert report.problems == ()
    assert report.notes == ("train: 1 image is there under two classes",)


def test_test_images_that_train_too_are_a_problem_of_ones_own_data_set(folder: Path) -> None:
    shutil.copy(folder / "train/cat/0.png", folder / "test/cat/leak.png")
    report = check(folder)
    assert report.shared == {"train, test": 1}
    assert report.problems == (
        "data set 'mine': 1 image of test is in train too; remove it from one of the two",
    )


def test_equal_images_in_the_splits_of_the_owners_are_a_note(tmp_path: Path) -> None:
    place = official_copies.make("dtd", tmp_path)
    images = tmp_path / "dtd/dtd/images/banded"
    shutil.copy(images / "banded_0001.jpg", images / "banded_0003.jpg")  # train, val
    report = check_dataset(read_dataset("dtd", place, ignored), 2, ignored)
    assert report.shared.keys() == {"train, val"} and report.problems == ()
    assert any(
        "1 image of val is in train too; the splits of a packaged" in n for n in report.notes
    )


@pytest.mark.parametrize("name", official_copies.WRITERS)
def test_every_packaged_data_set_can_be_checked(tmp_path: Path, name: str) -> None:
    place = official_copies.make(name, tmp_path)
    files: list[tuple[int, int]] = []
    images: list[tuple[int, int]] = []
    data = read_dataset(name, place, lambda *done: files.append(done))
    report = check_dataset(data, 2, lambda *done: images.append(done))
    assert report.problems == ()
    for seen in (files, images):
        assert seen == [(i + 1, len(seen)) for i in range(len(seen))] and seen
    assert len(report.classes) == len(report.splits[0].class_counts)


def test_the_fingerprint_is_that_of_a_run(folder: Path) -> None:
    before = check(folder).fingerprint
    write(folder / "train/cat/0.png", (1, 2, 3))
    assert check(folder).fingerprint != before


def test_a_data_set_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        check(tmp_path / "gone")
    with pytest.raises(StudyError, match="the site file does not say where it lies"):
        read_dataset("pets", None, ignored)
