"""CIFAR-100 and ciFAIR-100: pickles with a table of pixels and a list of fine labels."""

import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hpc_xfer.compute.downstream import fingerprints
from hpc_xfer.compute.downstream.fingerprints import FingerprintCache
from hpc_xfer.compute.downstream.image_sets import (
    ColorImages,
    DownstreamData,
    os_errors_as_data_error,
)
from hpc_xfer.config.dataset_cards import card
from hpc_xfer.config.dataset_forms import cifar100
from hpc_xfer.config.dataset_forms.listing import fetch_command
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

_PARTS_OF_ARRAYS = {  # all that a pickle of arrays, lists and words needs
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
_MOST = 512 << 20  # bytes of a pickle; that of the training images has 155 MB


def read(info: DatasetInfo, place: Location, cache: FingerprintCache | None) -> DownstreamData:
    files = cifar100.pickle_files(card(info.name), place.path)
    _check_names(files["meta"])
    sets = {name: _images(path) for name, path in files.items() if name != "meta"}
    fingerprint = fingerprints.of_files(files["train"].parent.parent, [list(files.values())], cache)
    train, test = sets.pop("train"), sets.pop("test")
    return DownstreamData(info, train, test, fingerprint, further=sets)


def split(info: DatasetInfo, place: Location, name: str) -> ColorImages:
    """Read one split alone."""
    return _images(cifar100.pickle_files(card(info.name), place.path)[name])


def _check_names(path: Path) -> None:
    """Compare the owners' class names with the card."""
    names = _load(path).get("fine_label_names")
    expected = list(card("cifar100").folders)
    if names != expected:
        raise DataError(
            f"{path}: has other classes than the {len(expected)} of CIFAR-100 in their order; run "
            f"{fetch_command('cifar100')}"
        )


def _images(path: Path) -> ColorImages:
    content = _load(path)
    try:
        labels = np.array(content["fine_labels"], dtype=np.int64)
        pixels = np.asarray(content["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: holds no images of 32 x 32 pixels with fine labels ({error}); run "
            f"{fetch_command('cifar100')}"
        ) from error
    if len(labels) != len(pixels):
        raise DataError(
            f"{path}: has {len(pixels):,} images but {len(labels):,} labels; run "
            f"{fetch_command('cifar100')}"
        )
    return ColorImages(labels, pixels)


def _load(path: Path) -> dict[str, Any]:
    """Unpickle arrays, lists and words, and nothing that could run code."""
    try:
        with os_errors_as_data_error(path), _opened(path) as file:
            content = _ArraysOnly(file, encoding="latin1").load()
            if file.read(1):
                raise DataError(f"{path}: goes on after its end; run {fetch_command('cifar100')}")
    except DataError:
        raise
    except Exception as error:  # pickle raises any error on damaged files
        raise DataError(
            f"{path}: is cut off or damaged ({error}); run {fetch_command('cifar100')}"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a pickle of CIFAR; run {fetch_command('cifar100')}")
    return content


def _opened(path: Path) -> BinaryIO:
    """Open a regular file of bounded size."""
    handle = atomic_files.open_plainly(path, follow=True)
    size = os.fstat(handle).st_size
    if size > _MOST:
        os.close(handle)
        raise DataError(
            f"{path}: has {size:,} bytes, more than the {_MOST:,} that a pickle of CIFAR may have; "
            f"run {fetch_command('cifar100')}"
        )
    return os.fdopen(handle, "rb")


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PARTS_OF_ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        # The pickles of 2009 name a module that numpy 2 has moved.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
