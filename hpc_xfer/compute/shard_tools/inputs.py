"""Inputs of `shards make`: image folders; tables and torchvision's data sets in files beside this.

An input has rows, which describe each sample briefly, and a reader that makes the sample of a row
in any process that the row is sent to.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hpc_xfer.compute.images import image_file
from hpc_xfer.compute.shard_tools.reencode import Reencoding, keep_file
from hpc_xfer.compute.shard_tools.tables.embedded_images import ImageCell, StoredImage
from hpc_xfer.compute.shards.shard import Sample
from hpc_xfer.config.dataset_forms import image_folder, split_names
from hpc_xfer.config.own_datasets.words_or_codes import are_words
from hpc_xfer.errors import DataError

_LONGEST_PATH = 255  # characters in a message; a cell may hold a whole image as text


class Input(Protocol):
    """Samples in a fixed order. None is read before it is needed."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names by class number; None without labels, or without names for them."""

    @property
    def identity(self) -> dict[str, object]:
        """JSON that differs between inputs with different content; it does not hold their path."""

    @property
    def reader(self) -> Callable[[Any], Sample]:
        """A function that makes the sample of a row, or raises a DataError. It can be pickled."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences: what is left out, and what is odd."""

    def __len__(self) -> int: ...

    def rows(self, positions: Sequence[int]) -> list[Any]:
        """Describe each of these samples for the reader."""


class FileRow(NamedTuple):
    """A sample whose image is a file, or inside a table."""

    image: str | ImageCell | StoredImage | None  # path or cell; None in a table with a gap
    caption: str | None
    label: int | None
    number: int | None = None  # in a table, from 1, without the header
    captions: tuple[str, ...] = ()  # all of them, where an image has several


@dataclass(frozen=True)
class FileReader:
    """Reads the file of a row. Captions and labels that are asked for must be there."""

    captions: bool
    labels: bool
    reencoding: Reencoding | None = None

    def __call__(self, row: FileRow) -> Sample:
        """Make the sample of a row.

        Raises:
            DataError: the file is missing or broken, or its caption or label is empty.
        """
        if not row.image:
            raise DataError(f"row {row.number}: has no image; fill in its path or remove the row")
        sample = {}
        if self.labels:
            if row.label is None:
                raise DataError(f"{row.image}: its label is empty; write one or remove the row")
            sample["cls"] = str(row.label).encode()
        if self.captions:
            if not any(map(str.isprintable, (row.caption or "").strip())):
                raise DataError(f"{row.image}: its caption is empty; write one or remove the row")
            if "\0" in str(row.caption):  # no loader takes it
                raise DataError(f"{row.image}: its caption holds null bytes; remove them")
            sample["txt"] = str(row.caption).encode("utf-8", "replace")
        if len(row.captions) > 1:
            sample["json"] = json.dumps({"captions": row.captions}).encode()
        data = _read(row.image)
        encode = keep_file if self.reencoding is None else self.reencoding.apply
        field, image = encode(data, str(row.image))
        return {field: image, **sample}


class ImageFolder:
    """FOLDER/CLASS/*: the names of the class folders, sorted, are the classes and the captions.

    Raises:
        DataError: there is no such folder, or it has no classes or images, or has splits instead.
    """

    def __init__(self, folder: Path, reencoding: Reencoding | None = None) -> None:
        listed = image_folder.scan(folder)
        images, self.notes = listed.images, listed.notes
        split_names.check_no_splits(folder, images)
        self.classes = tuple(map(image_folder.class_name, images))
        self.notes += tuple(_on_names(self.classes))
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


def _on_names(classes: Sequence[str]) -> Iterator[str]:
    """Say what is odd about names that become captions."""
    folded = Counter(name.casefold() for name in classes)
    if same := [name for name in classes if folded[name.casefold()] > 1]:
        yield f"{len(same):,} classes have the caption of another one, the first {same[0]!r}"
    elif not are_words(classes):
        first = classes[0]
        yield f"the class folders are called by numbers or codes ({first}), and so are captions"


def _read(path: str | ImageCell | StoredImage) -> bytes:
    if not isinstance(path, str):
        return path.read()
    try:
        return image_file.read(Path(path))
    except (OSError, ValueError) as error:  # a null byte, a pipe or a huge file is a ValueError
        why = getattr(error, "strerror", None) or error
        name = path if len(path) <= _LONGEST_PATH else f"{path[:30]}...{path[-80:]}"
        raise DataError(f"{name}: cannot be read ({why}); check the file") from error
