"""Read downstream data sets: images, labels, and a fingerprint; check them against their info."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpc_xfer.compute.downstream.fingerprints import FingerprintCache
from hpc_xfer.compute.downstream.image_sets import (
    ColorImages,
    DownstreamData,
    GrayImages,
    ImageFiles,
    ImageSet,
    Labels,
    Pixels,
    TarImages,
)
from hpc_xfer.compute.downstream.readers import (
    built_in,
    cifar100,
    folders,
    official_files,
    torchvision_named,
    webdataset,
)
from hpc_xfer.config.dataset_cards import CARDS
from hpc_xfer.config.dataset_forms import official
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError

__all__ = [
    "ColorImages",
    "DownstreamData",
    "FingerprintCache",
    "GrayImages",
    "ImageFiles",
    "ImageSet",
    "Labels",
    "Pixels",
    "TarImages",
    "check_readable",
    "load",
    "training_images",
]


def load(
    info: DatasetInfo,
    place: Location | Path | None,
    fingerprints: FingerprintCache | None = None,
) -> DownstreamData:
    """Load a data set. A path is a folder: a packaged data set, or train/CLASS/* and test/CLASS/*.

    Raises:
        DataError: a package or file is missing, or the data set is not as `info` says.
    """
    place = _named(_location(place), info)
    if place is None:
        data = built_in.read(info)
    elif place.form == "webdataset":
        data = webdataset.read(info, place, fingerprints)
    elif place.form == "torchvision":
        data = torchvision_named.read(info, place, fingerprints)
    elif info.name not in CARDS:
        data = folders.read(info, place, fingerprints)
    elif official.is_listed(info.name):
        data = official_files.read(info, place, fingerprints)
    else:
        data = cifar100.read(info, place, fingerprints)
    _check(data, info)
    return data


def training_images(
    info: DatasetInfo, place: Location | Path | None, touch: Callable[[], object] | None = None
) -> ImageSet:
    """The training images, without a fingerprint, so without reading all of them.

    Args:
        touch: called now and then, as a sign of life.

    Raises:
        DataError: as `load`.
    """
    return _split(info, _location(place), "train", touch)


def check_readable(info: DatasetInfo, place: Location | Path | None) -> None:
    """Read one image of each split; to read all of them may take an hour.

    Raises:
        DataError: as `load`.
    """
    for split in ("train", "test"):
        _split(info, _location(place), split).image(0)


def _location(place: Location | Path | None) -> Location | None:
    return Location("folder", place) if isinstance(place, Path) else place


def _named(place: Location | None, info: DatasetInfo) -> Location | None:
    """The place of shards with the names of `classes.json` as if the site file stated them."""
    if place is None or place.form != "webdataset" or not info.names_stated:
        return place
    return replace(place, class_names=info.classes)


def _split(
    info: DatasetInfo,
    place: Location | None,
    name: str,
    touch: Callable[[], object] | None = None,
) -> ImageSet:
    place = _named(place, info)
    if place is None:
        return built_in.read(info).splits[name]
    if place.form == "webdataset":
        return webdataset.split(info, place, name, touch)
    if place.form == "torchvision":
        return torchvision_named.split(place, name)
    if info.name not in CARDS:
        return folders.split(place, name)
    if official.is_listed(info.name):
        return official_files.split(info, place, name)
    return cifar100.split(info, place, name)


def _check(data: DownstreamData, info: DatasetInfo) -> None:
    """Compare what was read with what was known before, and each label with the classes."""
    for split, images, expected in (
        ("training", data.train, info.train),
        ("test", data.test, info.test),
        ("validation", data.val or (), info.official_val),
    ):
        if info.complete and len(images) != expected:
            raise DataError(
                f"data set {info.name!r}: has {len(images):,} {split} images, expected "
                f"{expected:,}; restore it, or launch again if the change is intended"
            )
    classes = len(data.info.classes)
    if classes < 2:
        raise DataError(f"data set {info.name!r}: has {classes} classes; name another data set")
    cure = "correct the class names" if info.names_stated else "restore the data set"
    for name, images in data.splits.items():
        if not len(images) or not 0 <= images.labels.min() <= images.labels.max() < classes:
            raise DataError(
                f"data set {info.name!r}: {name} has no images, or labels besides 0 to "
                f"{classes - 1}; {cure}"
            )
    if info.name not in CARDS and data.test.labels.min() == data.test.labels.max():
        only = data.info.classes[data.test.labels[0]]
        raise DataError(
            f"data set {info.name!r}: all {len(data.test):,} test images are of one class, "
            f"{only!r}, on which an encoder that always answers it is right; add images of others"
        )
    absent = np.flatnonzero(np.bincount(data.train.labels, minlength=classes) == 0)
    if len(absent) and 0 not in (info.class_counts or ()):
        raise DataError(
            f"data set {info.name!r}: class {data.info.classes[absent[0]]!r} has no training "
            "images; restore the data set"
        )
