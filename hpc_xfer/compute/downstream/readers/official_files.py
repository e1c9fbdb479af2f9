"""Packaged data sets of image files, as config/dataset_forms lists them.

torchvision's own readers list the same paths and labels (a test compares them); they are not used
here because they decode with Pillow, stop at files that macOS leaves, and need torch.
"""

import os
from pathlib import Path

import numpy as np

from hpc_xfer.compute.downstream import fingerprints
from hpc_xfer.compute.downstream.fingerprints import FingerprintCache
from hpc_xfer.compute.downstream.image_sets import DownstreamData, ImageFiles
from hpc_xfer.config.dataset_cards import card
from hpc_xfer.config.dataset_forms import official
from hpc_xfer.config.dataset_forms.listing import ListedImages
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo


def read(info: DatasetInfo, place: Location, cache: FingerprintCache | None) -> DownstreamData:
    listing = official.list_official(card(info.name), place.path, place.counts)
    sets = {split: _files(listing.folder, images) for split, images in listing.splits.items()}
    fingerprint = fingerprints.of_files(
        Path(os.path.commonpath([listing.folder, *listing.lists])),
        [*(images.paths for images in sets.values()), listing.lists],
        cache,
        splits=fingerprints.digest_of_labels(sets.items()),
    )
    return DownstreamData(
        info,
        train=sets.pop("train"),
        test=sets.pop("test"),
        fingerprint=fingerprint,
        val=sets.pop("val", None),
        further=sets,
    )


def split(info: DatasetInfo, place: Location, name: str) -> ImageFiles:
    """Read one split alone."""
    listing = official.list_official(card(info.name), place.path, place.counts)
    return _files(listing.folder, listing.splits[name])


def _files(folder: Path, images: ListedImages) -> ImageFiles:
    paths = [folder / name for name in images.names]
    return ImageFiles(np.array(images.labels, dtype=np.int64), paths)
