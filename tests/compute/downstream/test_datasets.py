"""Downstream data sets: decoding, folders and their info, fingerprints, built-in sets."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.downstream.datasets import FingerprintCache
from hpc_xfer.compute.images.decode import decode, decode_array
from hpc_xfer.compute.shard_tools.reencode import png
from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError, StudyError


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


# Decoding.


def test_an_image_is_decoded_to_three_planes_of_bytes() -> None:
    image = Image.new("RGB", (4, 3), (10, 20, 30))
    pixels = decode(encoded(image, "png"))
    assert (pixels.shape, pixels.dtype) == ((3, 3, 4), torch.uint8)
    assert pixels[:, 2, 3].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("image", "file_format", "expected"),
    [
        (Image.new("L", (4, 3), 77), "png", [77, 77, 77]),
        (Image.new("1", (4, 3), 1), "png", [255, 255, 255]),
        (Image.new("LA", (4, 3), (77, 128)), "png", [77, 77, 77]),
        (Image.new("RGBA", (4, 3), (10, 20, 30, 128)), "png", [10, 20, 30]),
        (Image.new("RGB", (4, 3), (10, 20, 30)).quantize(4), "png", [10, 20, 30]),
        (Image.new("CMYK", (4, 3), (0, 255, 255, 0)), "tiff", [255, 0, 0]),
        (Image.fromarray(np.full((3, 4), 65535, np.uint16)), "png", [255, 255, 255]),
        (Image.fromarray(np.full((3, 4), 257 * 50, np.uint16)), "tiff", [50, 50, 50]),
    ],
    ids=["gray", "bits", "gray+alpha", "alpha", "palette", "cmyk", "16-bit white", "16-bit gray"],
)
def test_any_mode_becomes_rgb(image: Image.Image, file_format: str, expected: list[int]) -> None:
    assert decode(encoded(image, file_format))[:, 1, 1].tolist() == expected


def test_a_palette_with_transparency_is_decoded_without_a_warning() -> None:
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    data = encoded(image, "png", transparency=b"\x00\x80")
    assert decode(data)[:, 1, 1].tolist() == [10, 20, 30]


def test_a_photograph_taken_sideways_is_turned_upright() -> None:
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    pixels = decode(encoded(image, "png", exif=exif))
    assert pixels.shape == (3, 4, 2)
    assert pixels[:, 0, 1].tolist() == [255, 255, 255]  # upper left went to upper right


def test_an_image_with_damaged_exif_data_is_decoded() -> None:
    data = encoded(Image.new("RGB", (4, 2), (9, 9, 9)), "jpeg", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert decode(data).shape == (3, 2, 4)


def test_a_png_is_decoded_to_the_encoded_pixels() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(decode_array(png(Image.fromarray(pixels))), pixels)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>404</html>",
        encoded(Image.effect_noise((64, 64), 50), "jpeg")[:700],
        encoded(Image.effect_noise((64, 64), 50), "png")[:700],
    ],
    ids=["empty", "text", "cut jpeg", "cut png"],
)
def test_a_file_that_is_not_an_image_is_an_error(data: bytes) -> None:
    with pytest.raises(
        DataError, match=r"^cat\.jpg: (is not an image|cannot be decoded \(.*\)); repl"
    ):
        decode(data, "cat.jpg")


def test_floating_point_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.zeros((3, 4), np.float32)), "tiff")
    with pytest.raises(DataError, match="x: holds floating-point pixels, whose range is"):
        decode(data, "x")


def test_a_decompression_bomb_is_a_data_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (100, 100)), "png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="bomb: cannot be decoded"):
        decode(data, "bomb")


# Image folders.


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Three training and one test image of each of two classes, in a path with a space."""
    folder = tmp_path / "my animals"
    for split, n in (("train", 3), ("test", 1)):
        for level, name in ((10, "big_cat"), (20, "dog")):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                path = folder / split / name / f"photo {i}.png"
                path.write_bytes(encoded(Image.new("RGB", (4, 3), (level, i, 0)), "png"))
    return folder


def test_a_folder_is_described_by_listing(animals: Path) -> None:
    (animals / "train/dog/photo 2.png").rename(animals / "train/big_cat/photo 3.PNG")
    (animals / "train/dog/notes.txt").write_text("not an image")
    (animals / "train/dog/._photo 1.png").write_text("what macOS leaves")
    (animals / "train/.cache").mkdir()
    assert downstream_datasets.image_folder_info("animals", animals) == DatasetInfo(
        name="animals",
        title="animals",
        classes=("big cat", "dog"),
        train=6,
        test=2,
        smallest_class=2,
        templates=("a photo of a {}.",),
        source=str(animals),
        class_counts=(4, 2),
        test_counts=(1, 1),
        notes=(
            "train: 1 hidden image or folder is not used, the first .cache",
            "train: 1 file without the suffix of an image is not used, the first dog/notes.txt",
        ),
    )


def test_a_folder_is_read_image_by_image(animals: Path) -> None:
    data = datasets.load(downstream_datasets.dataset_info("animals", animals), animals)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.labels.dtype == np.int64
    assert data.train.image(4)[:, 0, 0].tolist() == [20, 1, 0]
    assert len(pickle.loads(pickle.dumps(data)).test) == 2  # as spawned workers get it


def test_the_fingerprint_depends_on_each_byte_but_not_on_the_place_of_the_folder(
    animals: Path,
) -> None:
    def fingerprint(folder: Path) -> str:
        return datasets.load(
            downstream_datasets.dataset_info("animals", folder), folder
        ).fingerprint

    before = fingerprint(animals)
    moved = animals.rename(animals.parent / "moved")
    assert fingerprint(moved) == before
    (moved / "test/dog/photo 0.png").write_bytes(png(Image.new("L", (4, 3))))
    assert fingerprint(moved) != before


def known(folder: Path, notes: Path) -> tuple[str, int]:
    """The fingerprint, and the number of signs of life."""
    signs: list[None] = []
    fingerprints = FingerprintCache(lambda: signs.append(None), lambda key: notes / f"{key}.json")
    data = datasets.load(downstream_datasets.dataset_info("animals", folder), folder, fingerprints)
    return data.fingerprint, len(signs)


def test_a_folder_is_read_once_for_its_fingerprint_and_gives_signs_of_life(
    animals: Path, tmp_path: Path
) -> None:
    """One sign of life per file (8) to get their state, and one per file to read them."""
    notes = tmp_path / "notes"
    read = datasets.load(downstream_datasets.dataset_info("animals", animals), animals).fingerprint
    assert known(animals, notes) == (read, 16)
    assert known(animals, notes) == (read, 8)
    assert len(list(notes.iterdir())) == 1


def test_a_changed_file_with_an_old_modification_time_is_read_again(
    animals: Path, tmp_path: Path
) -> None:
    """`rsync --times` leaves such files."""
    notes, image = tmp_path / "notes", animals / "train/dog/photo 0.png"
    before, _ = known(animals, notes)
    there, data = image.stat(), bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    os.utime(image, ns=(there.st_atime_ns, there.st_mtime_ns))
    assert image.stat().st_mtime_ns == there.st_mtime_ns
    assert known(animals, notes) != (before, 8)


def test_a_truncated_fingerprint_file_is_ignored(animals: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    read, _ = known(animals, notes)
    (note,) = notes.iterdir()
    note.write_bytes(note.read_bytes()[:20])
    assert known(animals, notes) == (read, 16)


def test_images_that_were_deleted_after_launch_are_noticed(animals: Path) -> None:
    info = downstream_datasets.dataset_info("animals", animals)
    (animals / "train/dog/photo 0.png").unlink()
    with pytest.raises(DataError, match="has 5 training images, expected 6; restore"):
        datasets.load(info, animals)


def test_classes_that_changed_after_launch_are_noticed(animals: Path) -> None:
    info = downstream_datasets.dataset_info("animals", animals)
    (animals / "test/dog").rename(animals / "test/fox")
    with pytest.raises(DataError, match="its classes changed since launch; launch again"):
        datasets.load(info, animals)


def test_a_broken_image_is_named_when_it_is_read(animals: Path) -> None:
    (animals / "train/dog/photo 0.png").write_bytes(b"")
    data = datasets.load(downstream_datasets.dataset_info("animals", animals), animals)
    with pytest.raises(DataError, match=r"train/dog/photo 0\.png: is not an image"):
        data.train.image(3)
    (animals / "train/dog/photo 0.png").unlink()
    with pytest.raises(DataError, match=r"train/dog/photo 0\.png: cannot be read"):
        data.train.image(3)


@pytest.mark.parametrize("split", ["train", "test"])
def test_check_readable_reads_only_one_image_of_each_split(animals: Path, split: str) -> None:
    info = downstream_datasets.dataset_info("animals", animals)
    first, *others = sorted((animals / split).glob("*/*"), key=lambda path: str(path))
    for other in others:
        other.write_bytes(b"")
    datasets.check_readable(info, animals)
    first.write_bytes(b"")
    with pytest.raises(DataError, match="is not an image"):
        datasets.check_readable(info, animals)


def refusal(name: str, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        downstream_datasets.dataset_info(name, folder)
    return str(caught.value)


def test_a_missing_folder_points_to_the_site_file(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    assert refusal("animals", folder) == (
        f"{folder}: no such folder; correct data set 'animals' in the site file"
    )


def test_a_missing_split_says_what_belongs_there(animals: Path, tmp_path: Path) -> None:
    (animals / "test").rename(tmp_path / "elsewhere")
    test = animals / "test"
    assert refusal("animals", animals) == f"{test}: no such folder; images go into {test}/CLASS/"


def test_a_split_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert "train: has no class folders; images go into" in refusal("animals", tmp_path)


def test_a_class_in_one_split_only_is_named(animals: Path) -> None:
    (animals / "test/dog").rename(animals / "test/fox")
    assert refusal("animals", animals) == (
        f"{animals}: class 'dog' is in train but not in test; add it there or remove it"
    )


def test_a_class_without_images_is_named(animals: Path) -> None:
    (animals / "test/dog/photo 0.png").rename(animals / "test/dog/photo.txt")
    assert refusal("animals", animals).startswith(f"{animals}/test/dog: holds no image files (")


# What is built in.


@pytest.mark.parametrize(
    ("name", "side", "fingerprint"),
    [("digits", 8, "fdcbe5a5f504"), ("mnist5k", 28, "658d787be49b")],
)
def test_built_in_data_sets_match_their_info(name: str, side: int, fingerprint: str) -> None:
    """If a fingerprint changes, a package has changed its data: old results do not compare."""
    info = downstream_datasets.dataset_info(name, None)
    data = datasets.load(info, None)
    assert (len(data.train), len(data.test)) == (info.train, info.test)
    assert np.bincount(data.train.labels).min() == info.smallest_class
    image = data.train.image(0)
    assert (image.shape, image.dtype) == ((3, side, side), torch.uint8)
    assert max(int(data.train.image(i).max()) for i in range(50)) == 255
    assert data.fingerprint[:12] == fingerprint


def test_mnist_is_split_evenly_over_the_classes() -> None:
    data = datasets.load(downstream_datasets.dataset_info("mnist5k", None), None)
    assert np.bincount(data.train.labels).tolist() == [250] * 10
    assert np.bincount(data.test.labels).tolist() == [250] * 10


def test_an_unknown_data_set_lists_the_known_and_the_way_out() -> None:
    with pytest.raises(StudyError) as caught:
        downstream_datasets.dataset_info("imagenet", None)
    assert str(caught.value) == (
        "data set 'imagenet' is unknown; built in are caltech101, cassava, cct20, cifar100, "
        "clipart, digits, dtd, eurosat, mnist5k, pets, real, and any image folder can be named in "
        "the site file under `datasets`"
    )


def test_a_folder_cannot_take_the_name_of_a_built_in_set(animals: Path) -> None:
    with pytest.raises(StudyError, match="'digits' is built in, but the site file names the fold"):
        downstream_datasets.dataset_info("digits", animals)
