"""Data sets of torchvision as input of `shards make`."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, StudyError
from tests.compute.shard_tools.making import decoded, encoded, make, noise, read_samples
from tests.tars import png


def write_mnist(root: Path, digits: list[int]) -> Path:
    """Write MNIST as it is downloaded, but smaller."""
    raw = root / "MNIST/raw"
    raw.mkdir(parents=True)
    pixels = np.stack([np.full((28, 28), 10 * digit, np.uint8) for digit in digits])
    for part in ("train", "t10k"):
        images = struct.pack(">IIII", 0x803, len(digits), 28, 28) + pixels.tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">II", 0x801, len(digits)) + bytes(digits)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(b""))
    return root


def test_a_data_set_is_packed_without_loss(tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "data", [3, 7])
    make("torchvision:MNIST", tmp_path / "out", "--root", str(root))
    found = sorted(read_samples(tmp_path / "out"), key=lambda sample: sample["cls"])
    assert [(each["cls"], each["txt"]) for each in found] == [
        (b"3", b"3 - three"),
        (b"7", b"7 - seven"),
    ]
    assert decoded(found[1]["png"]).getpixel((5, 5)) == 70
    assert len(ShardIndex.load(tmp_path / "out").classes or ()) == 10


def test_a_data_set_can_be_re_encoded_smaller(tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "data", [3, 7])
    make("torchvision:MNIST", tmp_path / "out", "--root", str(root), "--short-side", "14")
    assert [decoded(each["jpg"]).size for each in read_samples(tmp_path / "out")] == [(14, 14)] * 2


def test_the_files_of_a_data_set_stay_unchanged(photos: Path, tmp_path: Path) -> None:
    make("torchvision:ImageFolder", tmp_path / "out", "--root", str(photos))
    assert ShardIndex.load(tmp_path / "out").classes == ("big_cat", "dog")
    assert {each["jpg"] for each in read_samples(tmp_path / "out") if "jpg" in each} == {
        png(80 * i, "jpeg") for i in range(3)
    }


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("CIFAR11", StudyError, "torchvision has no such data set; correct the name"),
        ("vision", StudyError, "torchvision has no such data set; correct the name"),
        ("CocoCaptions", StudyError, "needs more than a folder .* pack another data set"),
        ("CIFAR10", DataError, "cannot be opened in .* download it there, on a node with a"),
    ],
)
def test_a_data_set_that_cannot_be_opened_is_named(
    tmp_path: Path, name: str, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        make(f"torchvision:{name}", tmp_path / "out", "--root", str(tmp_path))


def test_a_damaged_image_is_left_out_where_the_data_set_does_not_decode_it(tmp_path: Path) -> None:
    """Caltech101 gives images of which only the header was read."""
    for category in ("BACKGROUND_Google", "ant", "bass"):
        folder = tmp_path / "data/caltech101/101_ObjectCategories" / category
        folder.mkdir(parents=True)
        (folder / "image_0001.jpg").write_bytes(encoded(noise(64, 64)))
    (folder / "image_0001.jpg").write_bytes(encoded(noise(64, 64))[:900])
    options = ("--root", str(tmp_path / "data"), "--max-broken", "0.5")
    make("torchvision:Caltech101", tmp_path / "out", *options)
    (left_out,) = (tmp_path / "out/broken.txt").read_text().splitlines()
    assert left_out.startswith("Caltech101[1]: cannot be decoded (")


def test_a_data_set_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make("torchvision:MNIST", tmp_path / "out")
    assert caught.value.code == 2
    assert "torchvision:MNIST needs --root DIR" in capsys.readouterr().err


def test_a_split_that_a_data_set_lacks_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_mnist(tmp_path / "data", [3, 7])
    with pytest.raises(StudyError, match="MNIST: has only the splits train and test; correct"):
        make("torchvision:MNIST", tmp_path / "out", "--root", str(root), "--split", "val")
    with pytest.raises(StudyError, match="ImageFolder: has no splits; correct --split test"):
        make("torchvision:ImageFolder", tmp_path / "out", "--root", str(photos), "--split", "test")
    make("torchvision:ImageFolder", tmp_path / "out", "--root", str(photos))
    assert "note: ImageFolder has no splits: all of its images are packed" in (
        capsys.readouterr().out
    )


def test_a_class_number_without_a_name_is_a_broken_sample(tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "data", [3, 12])
    make("torchvision:MNIST", tmp_path / "out", "--root", str(root), "--max-broken", "0.5")
    assert (tmp_path / "out/broken.txt").read_text() == (
        "MNIST[1]: is of class 12, but 10 are named\n"
    )


def test_an_image_folder_of_splits_is_not_packed_as_two_classes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        (tmp_path / split / "cat/1.png").write_bytes(png(1))
    with pytest.raises(DataError, match="holds train and val, which are splits and not classes"):
        make("torchvision:ImageFolder", tmp_path / "out", "--root", str(tmp_path))
