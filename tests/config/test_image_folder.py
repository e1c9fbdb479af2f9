"""Image folders: what is listed, and what is left out and named."""

from pathlib import Path

import pytest

from hpc_xfer.compute.shard_tools.inputs import ImageFolder
from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.dataset_forms import image_folder
from hpc_xfer.errors import DataError
from tests import fabricated


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two images of cats, one of dogs."""
    for name in ("cat/1.jpg", "cat/2.PNG", "dog/1.jpg"):
        touch(tmp_path / "photos" / name)
    return tmp_path / "photos"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_nothing_is_left_out_of_an_image_folder_in_silence(photos: Path) -> None:
    for name in (
        "cat/more/3.jpg", "cat/more/even/4.jpg", "cat/a.jfif", "dog/b.avif", "5.jpg",
        "cat/.6.jpg", "cat/._1.jpg", "dog/notes.txt", "dog/Thumbs.db", "dog/no_suffix",
    ):  # fmt: skip
        touch(photos / name)
    found = image_folder.scan(photos)
    assert {name: len(paths) for name, paths in found.images.items()} == {"cat": 2, "dog": 1}
    assert [note.split(";")[0] for note in found.notes] == [
        "1 image beside the class folders is not used, the first 5.jpg",
        "2 images lie in folders inside a class and are not used, the first cat/more/3.jpg",
        "1 hidden image or folder is not used, the first cat/.6.jpg",
        "2 files without the suffix of an image are not used, the first dog/no_suffix",
        "2 files with an image suffix that is not looked for are not used, the first cat/a.jfif",
    ]
    assert ImageFolder(photos).notes == found.notes


def test_links_are_followed_and_those_that_lead_nowhere_are_named(photos: Path) -> None:
    (photos / "dog/2.jpg").symlink_to(photos / "cat/1.jpg")
    (photos / "dog/3.jpg").symlink_to(photos / "gone.jpg")
    (photos / "bee").symlink_to(photos / "cat")
    found = image_folder.scan(photos)
    assert {name: len(paths) for name, paths in found.images.items()} == {
        "bee": 2, "cat": 2, "dog": 3,
    }  # fmt: skip
    assert found.notes == (
        "1 image is a link that leads nowhere, the first dog/3.jpg; bring its image back or "
        "remove the link",
    )
    (photos / "ape").symlink_to(photos / "gone")
    with pytest.raises(DataError, match=r"ape: is a link to .*gone, which does not exist"):
        image_folder.scan(photos)


@pytest.mark.parametrize(
    "inside", ["{}/1.jpg", "{}/cat/1.jpg"], ids=["flat splits", "splits of classes"]
)
def test_train_and_test_are_not_packed_as_two_classes(tmp_path: Path, inside: str) -> None:
    for split in ("train", "test"):
        touch(tmp_path / inside.format(split))
    with pytest.raises(DataError) as refused:
        ImageFolder(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: holds test and train, which are splits and not classes; name "
        f"{tmp_path / 'train'}, whose folders are the classes"
    )


@pytest.mark.parametrize(
    "names", [("train2017", "val2017"), ("train_images", "test_images"), ("trainset", "testset")]
)
def test_splits_by_other_names_are_splits_too(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        touch(tmp_path / name / "1.jpg")
    with pytest.raises(DataError, match=f"which are splits and not classes; name .*{names[0]}, "):
        ImageFolder(tmp_path)


def test_a_split_beside_something_else_is_told_before_the_lack_of_images(tmp_path: Path) -> None:
    touch(tmp_path / "train/cat/1.jpg")
    touch(tmp_path / "annotations/1.json")
    with pytest.raises(DataError, match="holds train, which is a split and not a class; name "):
        ImageFolder(tmp_path)


def test_words_of_splits_in_names_of_classes_are_no_splits(tmp_path: Path) -> None:
    for name in ("train_station", "train_ticket"):
        touch(tmp_path / name / "1.jpg")
    assert ImageFolder(tmp_path).classes == ("train station", "train ticket")


def test_names_that_make_poor_captions_are_told(tmp_path: Path) -> None:
    for name in ("n01440764", "n01443537"):
        touch(tmp_path / "codes" / name / "1.jpg")
    for name in ("big_cat", "Big cat", "dog"):
        touch(tmp_path / "same" / name / "1.jpg")
    assert ImageFolder(tmp_path / "codes").notes == (
        "the class folders are called by numbers or codes (n01440764), and so are captions",
    )
    assert ImageFolder(tmp_path / "same").notes == (
        "2 classes have the caption of another one, the first 'Big cat'",
    )


def test_a_link_to_a_folder_is_not_an_image_whatever_its_name(photos: Path) -> None:
    (photos / "cat/all.jpg").symlink_to(photos / "dog")
    found = image_folder.scan(photos)
    assert len(found.images["cat"]) == 2
    assert found.notes[0].startswith("1 image lies in a folder inside a class and is not used")


def test_each_file_in_a_class_is_used_or_counted(photos: Path) -> None:
    for name in ("a.heic", "b.mpo", "more/c.avif", "more/d.xml", "n01.JPEG.1"):
        touch(photos / "cat" / name)
    assert [note.split(";")[0] for note in image_folder.scan(photos).notes] == [
        "1 image of a format that is not decoded is not used, the first cat/a.heic",
        "2 files without the suffix of an image are not used, the first cat/more/d.xml",
        "2 files with an image suffix that is not looked for are not used, the first cat/b.mpo",
    ]


def test_a_link_that_leads_nowhere_never_reaches_a_job(tmp_path: Path) -> None:
    folder = fabricated.image_folder(tmp_path / "animals", cat=2, dog=2)
    (folder / "test/dog/9.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(DataError) as refused:
        downstream_datasets.image_folder_info("animals", folder)
    assert str(refused.value) == (
        f"{folder / 'test'}: 1 image is a link that leads nowhere, the first dog/9.jpg; bring its "
        "image back or remove the link"
    )


def test_links_that_are_too_many_to_follow_are_counted(photos: Path) -> None:
    for i in range(10_002):
        (photos / f"dog/link{i:05d}.jpg").symlink_to(photos / "dog/1.jpg")
    [note] = image_folder.scan(photos).notes
    assert note.startswith("2 more links are not followed here, the first dog/link")


def test_a_train_may_be_a_class_among_others(photos: Path) -> None:
    touch(photos / "train/1.jpg")
    assert ImageFolder(photos).classes == ("cat", "dog", "train")


def test_a_class_without_images_says_what_lies_there(photos: Path) -> None:
    touch(photos / "ape/big/1.jpg")
    with pytest.raises(DataError, match=r"ape: holds no image files .*1 image lies in a folder in"):
        image_folder.scan(photos)
    touch(photos / "ape/big/2.jpg")
    with pytest.raises(DataError, match="has no class folders, but 2 images of no class"):
        image_folder.scan(photos / "ape/big")


def test_preflight_reads_what_is_left_out_of_a_data_set(tmp_path: Path) -> None:
    folder = fabricated.image_folder(tmp_path / "animals", cat=2, dog=2)
    touch(folder / "train/cat/more/1.jpg")
    touch(folder / "val/cat/1.jpg")
    touch(folder / "1.jpg")
    notes = downstream_datasets.image_folder_info("animals", folder).notes
    assert notes == (
        "train: 1 image lies in a folder inside a class and is not used, the first "
        "cat/more/1.jpg; move them into the folder of the class to use them",
        "1 folder beside train/ and test/ left unread, the first val",
        "1 image beside train/ and test/ left unread, the first 1.jpg",
    )
