"""Image folders: train/CLASS/* and test/CLASS/*."""

import itertools
from pathlib import Path

import numpy as np

from hpc_xfer.compute.downstream import fingerprints
from hpc_xfer.compute.downstream.fingerprints import FingerprintCache
from hpc_xfer.compute.downstream.image_sets import DownstreamData, ImageFiles
from hpc_xfer.config.dataset_forms import image_folder
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError


def read(info: DatasetInfo, place: Location, cache: FingerprintCache | None) -> DownstreamData:
    folder = place.path
    splits = [image_folder.list_images(folder / split) for split in image_folder.SPLITS]
    for split, classes in zip(image_folder.SPLITS, splits, strict=True):
        names = tuple(map(image_folder.class_name, classes))
        if len(names) != len(info.classes) or (not info.names_stated and names != info.classes):
            raise DataError(f"{folder / split}: its classes changed since launch; launch again")
    groups = [paths for classes in splits for paths in classes.values()]
    train, test = map(_image_files, splits)
    fingerprint, copies = fingerprints.of_images(
        folder, groups, {"train": train, "test": test}, cache
    )
    return DownstreamData(info, train, test, fingerprint, copies=copies)


def split(place: Location, name: str) -> ImageFiles:
    """Read one split alone."""
    return _image_files(image_folder.list_images(place.path / name))


def _image_files(classes: dict[str, list[Path]]) -> ImageFiles:
    counts = [len(paths) for paths in classes.values()]
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return ImageFiles(labels, list(itertools.chain(*classes.values())))
