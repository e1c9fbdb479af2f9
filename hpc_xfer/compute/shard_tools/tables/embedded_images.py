"""The images that Parquet files embed, and the row groups in which they lie.

Hugging Face writes an image as a struct of its bytes and the path it had; other writers write plain
bytes. Images of a small row group are read by the process that needs them, a row group at a time.
Those of a large one, as pandas writes a whole table, are copied out one after another beforehand.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hpc_xfer.compute.shard_tools.tables import parquet_files
from hpc_xfer.compute.shard_tools.tables.parquet_batches import GroupRun
from hpc_xfer.compute.shard_tools.tables.row_file import ImageKind
from hpc_xfer.config.dataset_forms.listing import is_image
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

_LONGEST_PATH = 4096  # bytes
_SMALL = 64 << 20  # bytes of a row group that is read whole; Hugging Face writes 10 MB
_MOST_FILE = 256 << 20  # bytes of a file that a cell names
_HELD = 256 << 20  # bytes of images that a process keeps


class ImageCell(NamedTuple):
    """An image inside a Parquet file."""

    file: str
    column: str
    group: int  # row group
    row: int  # within the group
    number: int  # row within the file, from 1

    def __str__(self) -> str:
        return f"{self.file}: row {self.number:,}"

    def read(self) -> bytes:
        """Read the bytes, from the file that the cell names where it embeds none.

        Raises:
            DataError: the cell is empty, or it or its file cannot be read.
        """
        try:
            value = content(_images(self.file, self.group, self.column)[self.row].as_py())
            if path := path_in(value):
                value = atomic_files.read_bytes(
                    Path(self.file).parent / path, _MOST_FILE, follow=True
                )
        except (OSError, ValueError, IndexError, pa.ArrowException) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{self}: its image cannot be read ({why}); check it") from error
        return _not_empty(value, str(self))


class StoredImage(NamedTuple):
    """An image that was copied out of a Parquet file."""

    rows: str  # the file that holds it
    at: int
    length: int
    cell: ImageCell

    def __str__(self) -> str:
        return str(self.cell)

    def read(self) -> bytes:
        """Read the bytes.

        Raises:
            DataError: there are none, or they cannot be read.
        """
        if self.length <= 0:
            return _not_empty(None, str(self))
        try:
            with open(self.rows, "rb", buffering=0) as file:
                return os.pread(file.fileno(), self.length, self.at)
        except OSError as error:
            raise DataError(
                f"{self}: its image cannot be read from {self.rows} ({error.strerror}); start again"
            ) from error


class EmbeddedImages:
    """The image column of files that embed images, without its bytes."""

    def __init__(self, files: Sequence[Path], column: str, small: int = _SMALL) -> None:
        """Find the row groups.

        Args:
            small: bytes of a row group whose images stay in the table.
        """
        self._column = column
        self._files = [str(path.absolute()) for path in files]
        self._groups: list[tuple[int, int, int]] = []  # file, group, rows of the file before it
        self._large: list[bool] = []
        sizes = []
        for place, path in enumerate(files):
            before = 0
            for group, found in enumerate(parquet_files.row_groups(path)):
                self._groups.append((place, group, before))
                self._large.append(found.bytes > small)
                sizes.append(found.rows)
                before += found.rows
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._starts = self._ends - np.array(sizes, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def runs(self) -> Iterator[GroupRun]:
        """Yield row groups of one file that follow each other and are read in the same way."""
        pairs = zip(self._groups, self._large, strict=True)
        for (place, large), found in groupby(pairs, lambda pair: (pair[0][0], pair[1])):
            groups = [group for (_, group, _), _ in found]
            yield GroupRun(Path(self._files[place]), groups, with_images=large)

    def cells(self, positions: Sequence[int]) -> list[ImageCell]:
        """Name the cells of these rows."""
        found = np.searchsorted(self._ends, positions, side="right")
        cells = []
        for position, at in zip(positions, found.tolist(), strict=True):
            place, group, before = self._groups[at]
            row = position - int(self._starts[at])
            cells.append(ImageCell(self._files[place], self._column, group, row, before + row + 1))
        return cells


def to_store(file: Path, values: Any) -> tuple[Any, NDArray[np.uint8]]:
    """Return the bytes or the path of each image of a batch, and which of the two it is."""
    kinds = np.full(len(values), ImageKind.STORED, np.uint8)
    found: list[bytes | None] = []
    for place, each in enumerate(values):
        value = content(each.as_py())
        if path := path_in(value):
            kinds[place] = ImageKind.PATH
            value = os.fsencode(file.parent / path)
        found.append(value or None)
    return pa.array(found, pa.large_binary()), kinds


def content(value: Any) -> Any:
    """Return what a cell holds: bytes, or a path."""
    return value.get("bytes") or value.get("path") if isinstance(value, dict) else value


def path_in(value: str | bytes | None) -> str:
    """Return the path that a cell holds; "" where it holds an image or nothing.

    Some writers (Spark, Impala) do not mark text as text.
    """
    if isinstance(value, bytes) and 0 < len(value) <= _LONGEST_PATH:
        text = value.decode("utf-8", "replace")
        return text if is_image(Path(text)) else ""
    return value if isinstance(value, str) else ""


def _not_empty(value: Any, name: str) -> bytes:
    if not value:
        raise DataError(f"{name}: has no image; fill it in or remove the row")
    return bytes(value)


_held: dict[tuple[str, int, str], Any] = {}  # row groups of this process, the latest use last
_failed: dict[tuple[str, int, str], DataError] = {}  # of these no other image is tried


def _images(file: str, group: int, column: str) -> Any:
    """Read the images of a row group, or take them from those that were read last."""
    key = (file, group, column)
    if key in _failed:
        raise _failed[key]
    found = _held.pop(key, None)
    if found is None:
        try:
            found = parquet_files.read_row_group(Path(file), group, column)
        except DataError as error:
            _failed[key] = error
            raise
        total = found.nbytes + sum(each.nbytes for each in _held.values())
        while _held and total > _HELD:
            total -= _held.pop(next(iter(_held))).nbytes
    _held[key] = found
    return found
