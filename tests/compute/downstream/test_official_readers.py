"""Readers of the nine data sets: pixels, labels, splits, fingerprints, what is refused at load."""

import io
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets as torchvision_datasets

from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.downstream.datasets import DownstreamData, FingerprintCache
from hpc_xfer.config.dataset_cards import CARDS, SplitCounts, card
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import dataset_info
from hpc_xfer.dataset_tools.stand_ins.pickles import write_pickle
from hpc_xfer.dataset_tools.stand_ins.tiny_images import encoded, pixels
from hpc_xfer.errors import DataError
from tests.official_copies import make


def load(name: str, place: Location) -> DownstreamData:
    return datasets.load(dataset_info(name, place), place)


def refusal(name: str, place: Location) -> str:
    with pytest.raises(DataError) as caught:
        load(name, place)
    return str(caught.value).replace(f"{place.path}/", "")


@pytest.mark.parametrize("name", CARDS)
def test_every_image_of_a_copy_is_read_with_the_color_of_its_class(
    name: str, tmp_path: Path
) -> None:
    """GIF and PNG files named .jpg are among them, and two damaged files."""
    data = load(name, make(name, tmp_path))
    for images in data.splits.values():
        assert images.labels.dtype == np.int64
        assert len(images) == len(images.labels) > 0
        off = 0
        for i in range(0, len(images), 1 + len(images) // 60):
            image = images.image(i)
            assert (image.dtype, image.shape[0]) == (torch.uint8, 3)
            expected = pixels(int(images.labels[i])).mean(axis=(0, 1))
            off += np.abs(image.float().mean(dim=(1, 2)).numpy() - expected).max() > 25
        assert off <= (name == "pets")  # one has lost its colors


@pytest.mark.parametrize("name", CARDS)
def test_the_splits_are_those_that_the_info_tells(name: str, tmp_path: Path) -> None:
    data = load(name, make(name, tmp_path))
    assert (len(data.train), len(data.test)) == (data.info.train, data.info.test)
    assert len(data.val or ()) == data.info.official_val
    assert tuple(data.further) == data.info.test_sets
    if data.info.class_counts is not None:
        assert np.bincount(data.train.labels).tolist() == list(data.info.class_counts)


@pytest.mark.parametrize("name", CARDS)
def test_data_sets_reach_spawned_workers(name: str, tmp_path: Path) -> None:
    data = load(name, make(name, tmp_path))
    assert len(pickle.loads(pickle.dumps(data.train))) == len(data.train)


@pytest.mark.parametrize("name", CARDS)
def test_the_training_images_are_read_alone_and_one_of_each_split_is_tried(
    name: str, tmp_path: Path
) -> None:
    place = make(name, tmp_path)
    info = dataset_info(name, place)
    alone = datasets.training_images(info, place)
    assert alone.labels.tolist() == load(name, place).train.labels.tolist()
    datasets.check_readable(info, place)


# What torchvision's own readers see.


def listed(data: DownstreamData, split: str) -> list[tuple[Path, int]]:
    images = data.splits[split]
    assert isinstance(images, datasets.ImageFiles)
    return list(zip(images.paths, images.labels.tolist(), strict=True))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_dtd_is_what_torchvision_reads(split: str, tmp_path: Path) -> None:
    data = load("dtd", make("dtd", tmp_path))
    theirs = torchvision_datasets.DTD(tmp_path, split, partition=1, loader=Path)
    assert [theirs[i] for i in range(len(theirs))] == listed(data, split)
    assert tuple(theirs.classes) == card("dtd").folders


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # it leaves files open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_pets_are_what_torchvision_reads(tmp_path: Path) -> None:
    data = load("pets", make("pets", tmp_path))
    for split, word in (("train", "trainval"), ("test", "test")):
        theirs = torchvision_datasets.OxfordIIITPet(tmp_path, word)
        images = [theirs[i] for i in range(len(theirs))]
        assert [label for _, label in images] == data.splits[split].labels.tolist()
        for i in (0, 1, 36):
            ours = data.splits[split].image(i).permute(1, 2, 0).numpy()
            assert np.abs(ours.astype(int) - np.asarray(images[i][0])).max() <= 2
    assert [name.replace(" ", "_").lower() for name in theirs.classes] == [
        name.lower() for name in card("pets").folders
    ]


def test_caltech_is_what_torchvision_reads(tmp_path: Path) -> None:
    place = make("caltech101", tmp_path)
    data = load("caltech101", place)
    (tmp_path / "caltech101/101_ObjectCategories/ant/._image_0001.jpg").unlink()  # it counts that
    theirs = torchvision_datasets.Caltech101(tmp_path)
    assert tuple(theirs.categories) == card("caltech101").folders
    together = np.concatenate([data.train.labels, data.test.labels])
    assert sorted(together.tolist()) == theirs.y


def test_eurosat_is_what_torchvision_reads(tmp_path: Path) -> None:
    data = load("eurosat", make("eurosat", tmp_path))
    theirs = torchvision_datasets.EuroSAT(tmp_path)
    ours = listed(data, "train") + listed(data, "test")
    assert sorted((str(path), label) for path, label in ours) == sorted(theirs.samples)
    assert tuple(theirs.classes) == card("eurosat").folders


@pytest.mark.parametrize(("name", "split"), [("train", "train"), ("test", "test")])
def test_cifar_is_what_torchvision_reads(name: str, split: str, tmp_path: Path) -> None:
    """torchvision knows the checksums of the original pickles; those of the copy are put there."""

    class Copy(torchvision_datasets.CIFAR100):
        def _check_integrity(self) -> bool:
            return True

        def _load_meta(self) -> None:
            pass

    data = load("cifar100", make("cifar100", tmp_path))
    theirs = Copy(tmp_path, train=name == "train")
    assert theirs.targets == data.splits[split].labels.tolist()
    for i in (0, 7, 99):
        ours = data.splits[split].image(i).permute(1, 2, 0).numpy()
        assert np.array_equal(ours, theirs.data[i])


# Fingerprints.


@pytest.mark.parametrize("name", CARDS)
def test_the_fingerprint_covers_every_split_but_not_the_place(name: str, tmp_path: Path) -> None:
    place = make(name, tmp_path / "here")
    before = load(name, place).fingerprint
    moved = replace(place, path=place.path.rename(tmp_path / "there"))
    data = load(name, moved)
    assert data.fingerprint == before
    for images in data.splits.values():
        if isinstance(images, datasets.ImageFiles):
            path = images.paths[-1]
            whole = path.read_bytes()
            path.write_bytes(encoded(5, 77))
            assert load(name, moved).fingerprint != before
            path.write_bytes(whole)


def test_the_fingerprint_changes_with_a_label(tmp_path: Path) -> None:
    place = make("cassava", tmp_path)
    before = load("cassava", place).fingerprint
    table = tmp_path / "train.csv"
    header, *rows = table.read_text().splitlines()
    zero = next(i for i, row in enumerate(rows) if row.endswith(",0"))
    one = next(i for i, row in enumerate(rows) if row.endswith(",1"))
    rows[zero], rows[one] = f"{rows[zero][:-1]}1", f"{rows[one][:-1]}0"
    table.write_text("\n".join([header, *rows]))
    assert load("cassava", place).fingerprint != before


def test_the_fingerprint_is_kept_by_the_state_of_the_files(tmp_path: Path) -> None:
    signs: list[None] = []
    cache = FingerprintCache(lambda: signs.append(None), lambda key: tmp_path / f"{key}.json")
    place = make("eurosat", tmp_path / "eurosat")
    info = dataset_info("eurosat", place)
    first = datasets.load(info, place, cache).fingerprint
    assert len(signs) == 120  # 60 images: their state, then their content
    assert (
        datasets.load(info, place, cache).fingerprint == first == load("eurosat", place).fingerprint
    )
    assert len(signs) == 180


# What only the job can see.


def test_a_set_that_changed_since_launch_is_told(tmp_path: Path) -> None:
    place = make("pets", tmp_path)
    info = dataset_info("pets", place)
    path = tmp_path / "oxford-iiit-pet/annotations/trainval.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match="has 110 training images, expected 111 of pets; run"):
        datasets.load(info, place)


def test_an_image_that_is_cut_off_is_named_when_it_is_read(tmp_path: Path) -> None:
    place = make("dtd", tmp_path)
    path = tmp_path / "dtd/dtd/images/banded/banded_0001.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"banded_0001\.jpg: cannot be decoded"):
        load("dtd", place).train.image(0)


def test_a_pickle_that_goes_on_after_its_end_is_told(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    path = tmp_path / "cifar-100-python/test"
    path.write_bytes(2 * path.read_bytes())
    assert refusal("cifar100", place) == (
        "cifar-100-python/test: goes on after its end; run `python -m hpc_xfer.datasets fetch "
        "cifar100`"
    )


def test_a_pickle_with_a_hole_is_told(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    path = tmp_path / "cifar-100-python/test"
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + whole[90:])
    assert "cifar-100-python/test: is cut off or damaged" in refusal("cifar100", place)


def test_a_pickle_cannot_run_a_program(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    program = b"cos\nsystem\n(S'touch " + str(tmp_path / "harm").encode() + b"'\ntR"
    (tmp_path / "cifar-100-python/test").write_bytes(program + b" " * 400_000 + b".")
    assert "damaged (it asks for os.system)" in refusal("cifar100", place)
    assert not (tmp_path / "harm").exists()


def test_a_pickle_of_a_gigabyte_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    path = tmp_path / "cifar-100-python/meta"
    with open(path, "wb") as file:
        file.seek(1 << 30)
        file.write(b".")
    assert "meta: has 1,073,741,825 bytes, more than the" in refusal("cifar100", place)
    path.unlink()
    os.mkfifo(path)
    assert "cifar-100-python/meta: " in refusal("cifar100", place)


def test_images_and_labels_of_a_pickle_must_be_as_many(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    path = tmp_path / "cifar-100-python/train"
    content = pickle.loads(path.read_bytes())
    content["fine_labels"].pop()
    write_pickle(path, content)
    assert "cifar-100-python/train: has 300 images but 299 labels" in refusal("cifar100", place)


def test_other_classes_in_the_names_of_cifar_are_told(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    names = list(card("cifar100").folders)
    names[0], names[1] = names[1], names[0]
    write_pickle(tmp_path / "cifar-100-python/meta", {"fine_label_names": names})
    assert "meta: has other classes than the 100 of CIFAR-100" in refusal("cifar100", place)


def test_a_pickle_with_fewer_images_than_stated_is_told(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    fewer = replace(place, counts=SplitCounts(train=299, test=100))
    assert refusal("cifar100", fewer) == (
        "data set 'cifar100': has 300 training images, expected 299; restore it, or launch again "
        "if the change is intended"
    )


def test_pickles_of_today_and_of_python_2_are_read_alike(tmp_path: Path) -> None:
    place = make("cifar100", tmp_path)
    before = load("cifar100", place).test.image(3)
    path = tmp_path / "cifar-100-python/test"
    content = pickle.loads(path.read_bytes())
    content["fine_labels"] = [np.int64(label) for label in content["fine_labels"]]
    path.write_bytes(pickle.dumps(content, protocol=5))
    assert torch.equal(load("cifar100", place).test.image(3), before)


@pytest.mark.parametrize("name", ["Egyptian_Mau", "Abyssinian", "beagle", "chihuahua"])
def test_pets_that_are_damaged_or_no_jpeg_are_read(name: str, tmp_path: Path) -> None:
    data = load("pets", make("pets", tmp_path))
    label = card("pets").folders.index(name)
    i = int(np.flatnonzero(data.train.labels == label)[0])
    assert data.train.image(i).shape == (3, 10, 12)


def test_a_gif_named_jpg_has_the_pixels_of_its_first_frame(tmp_path: Path) -> None:
    data = load("pets", make("pets", tmp_path))
    label = card("pets").folders.index("Egyptian_Mau")
    i = int(np.flatnonzero(data.train.labels == label)[0])
    theirs = np.asarray(Image.open(io.BytesIO(encoded(label, 0, "gif"))).convert("RGB"))
    assert np.array_equal(data.train.image(i).permute(1, 2, 0).numpy(), theirs)
