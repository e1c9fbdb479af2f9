"""What `shards make` packs: image folders, tables (see tables.py), torchvision's data sets.

An input knows its rows, a small description of each sample, and a reader that makes the sample of a
row, in whichever process the row is sent to.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hpc_xfer.compute.shard_tools.reencode import Reencoding, keep_file
from hpc_xfer.config import downstream_datasets
from hpc_xfer.errors import DataError

Sample = dict[str, bytes]  # by field, as in a shard


class Input(Protocol):
    """Samples in a fixed order, none of them read yet."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names by class number; None where there are no labels, or where nothing names them."""

    @property
    def identity(self) -> dict[str, object]:
        """What tells this input from another, as JSON; not where it lies."""

    @property
    def reader(self) -> Callable[[Any], Sample]:
        """Makes the sample of a row, or raises a DataError. It can be pickled."""

    def __len__(self) -> int: ...

    def rows(self, positions: Sequence[int]) -> list[Any]:
        """What the reader needs of each of these samples."""


class FileRow(NamedTuple):
    """A sample whose image is a file."""

    image: str | None  # path; None in a table with a gap
    caption: str | None
    label: int | None


@dataclass(frozen=True)
class FileReader:
    """Reads the file of a row. What is asked for must be there."""

    captions: bool
    labels: bool
    reencoding: Reencoding | None = None

    def __call__(self, row: FileRow) -> Sample:
        """Raises:
        DataError: no or an unreadable file, a broken image, no caption or no label.
        """
        if not row.image:
            raise DataError("a row names no image; fill it in or remove it")
        sample = {}
        if self.labels:
            if row.label is None:
                raise DataError(f"{row.image}: its label is empty; write one or remove the row")
            sample["cls"] = str(row.label).encode()
        if self.captions:
            if not (row.caption or "").strip():
                raise DataError(f"{row.image}: its caption is empty; write one or remove the row")
            sample["txt"] = str(row.caption).encode("utf-8", "replace")
        data = _read(row.image)
        encode = keep_file if self.reencoding is None else self.reencoding.apply
        field, image = encode(data, row.image)
        return {field: image, **sample}


class ImageFolder:
    """FOLDER/CLASS/*: the class folders, sorted, are the classes and the captions.

    Raises:
        DataError: no such folder, or one without classes or images.
    """

    def __init__(self, folder: Path, reencoding: Reencoding | None = None) -> None:
        images = downstream_datasets.list_images(folder)
        self.classes = tuple(map(downstream_datasets.class_name, images))
        self.reader = FileReader(captions=True, labels=True, reencoding=reencoding)
        self._files = [
            (str(path), label) for label, paths in enumerate(images.values()) for path in paths
        ]
        digest = hashlib.sha256()
        for path, _ in self._files:  # no sizes: a `stat` each takes minutes per million on Lustre
            digest.update(path.removeprefix(str(folder)).encode("utf-8", "surrogateescape") + b"\n")
        self.identity: dict[str, object] = {"images": digest.hexdigest()}

    def __len__(self) -> int:
        return len(self._files)

    def rows(self, positions: Sequence[int]) -> list[FileRow]:
        found = (self._files[i] for i in positions)
        return [FileRow(path, self.classes[label], label) for path, label in found]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # a null byte in a path is a ValueError
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({why}); check the file") from error
