"""Images that are there twice, found without reading all files."""

from collections.abc import Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hpc_xfer.config.own_datasets import copied_images
from hpc_xfer.config.own_datasets.copied_images import find_copies, notes_on_copies

Files = Mapping[str, Mapping[str, bytes]]
LONG = bytes(9000)  # three parts: both ends are compared first


def notes(root: Path, **splits: Files) -> list[str]:
    """The notes on files with this content: split -> class -> name -> bytes."""
    paths: dict[str, dict[str, list[Path]]] = {}
    for split, classes in splits.items():
        paths[split] = {}
        for name, files in classes.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            paths[split][name] = [folder / file for file in files]
            for file, content in files.items():
                (folder / file).write_bytes(content)
    return notes_on_copies(root, paths)


def test_test_images_that_are_training_images_are_counted_and_named(tmp_path: Path) -> None:
    train = {"cat": {f"{i}.png": bytes([i] * 5) for i in range(4)}, "dog": {"0.png": b"dog"}}
    test = {"cat": {"a.png": b"other", "b.png": bytes([1] * 5)}, "dog": {"c.png": b"dog"}}
    assert notes(tmp_path, train=train, test=test) == [
        "2 of 3 test images are byte for byte training images too, the first test/cat/b.png; "
        "remove them from one of the two: accuracy on them is memory"
    ]


def test_files_that_differ_in_the_middle_alone_are_no_copies(tmp_path: Path) -> None:
    other = LONG[:4500] + b"x" + LONG[4501:]
    assert notes(tmp_path, train={"a": {"1": LONG}}, test={"a": {"2": other}}) == []


def test_a_training_image_with_two_labels_is_told(tmp_path: Path) -> None:
    train = {"cat": {"1": LONG, "2": b"cat"}, "dog": {"1": LONG}, "fox": {"1": b"f", "2": b"f"}}
    assert notes(tmp_path, train=train, test={"cat": {"1": b"test"}}) == [
        "2 of 5 training images are byte for byte in two classes, the first train/cat/1; remove "
        "them from one of the two"
    ]


def test_a_file_that_is_gone_or_empty_is_left_to_the_job(tmp_path: Path) -> None:
    split = {"a": [tmp_path / "gone", tmp_path / "empty"]}
    (tmp_path / "empty").touch()
    assert notes_on_copies(tmp_path, {"train": split, "test": split}) == []


def test_more_files_than_a_launch_looks_at_are_left_to_the_job(tmp_path: Path) -> None:
    many = {"a": [tmp_path / str(i) for i in range(copied_images.MOST_FILES)]}
    assert notes_on_copies(tmp_path, {"train": many, "test": {"a": [tmp_path / "1"]}}) == [
        "20,001 files are too many to look for copies here; the first job that reads the data set "
        "counts test images that train too"
    ]


@given(st.lists(st.sampled_from(b"abcdef")), st.lists(st.sampled_from(b"abcdef")))
def test_counts_are_those_of_sets(train: list[int], test: list[int]) -> None:
    def images(found: list[int]) -> tuple[list[bytes], list[int]]:
        return [bytes([value]) for value in found], [value % 2 for value in found]

    copies = find_copies({"train": images(train), "test": images(test)})
    assert copies.counts.get("test_in_train", 0) == sum(value in train for value in test)
    assert "train_two_classes" not in copies.counts
