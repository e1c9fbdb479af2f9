"""Take the batches of a table, check captions and labels, and keep the rows on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.compute.shard_tools.tables.caption_column import CaptionColumn
from hpc_xfer.compute.shard_tools.tables.label_counts import LabelCounts
from hpc_xfer.compute.shard_tools.tables.row_file import ImageKind, RowFile
from hpc_xfer.errors import DataError

Column = Any  # a pyarrow.Array, which has no annotations


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read."""

    image: str = "image"  # paths, relative to the table; in Parquet, images too
    caption: str | None = None
    label: str | None = None  # class numbers or names; names also become missing captions

    @property
    def unique(self) -> list[str]:
        """Each column once: captions and labels may be the same one."""
        names = [self.image, self.caption, self.label]
        return list(dict.fromkeys(name for name in names if name is not None))


class TableRows:
    """The rows of a table as one way of reading gives them."""

    def __init__(self, path: Path, columns: Columns, folder: Path | None) -> None:
        self._path = path
        self._columns = columns
        self.file = RowFile(folder)
        caption, label = columns.caption, columns.label
        self.captions = None if caption is None else CaptionColumn(path, caption)
        self.labels = None if label is None else LabelCounts(path, label)

    def close(self) -> None:
        """Remove the files that hold the rows."""
        self.file.close()

    def add(self, columns: Mapping[str, Column]) -> None:
        """Add a batch of rows with paths of images.

        Raises:
            DataError: captions or labels are something else.
            StoreError: the disk has no room.
        """
        images = columns[self._columns.image]
        self._append(columns, images, ImageKind.PATH, len(images))

    def add_embedded(
        self, columns: Mapping[str, Column], images: Column, kinds: NDArray[np.uint8]
    ) -> None:
        """Add a batch of rows with images, or the paths in their place."""
        self._append(columns, images, kinds, len(images))

    def add_cells(self, columns: Mapping[str, Column], rows: int) -> None:
        """Add a batch of rows whose images stay in the table."""
        self._append(columns, None, ImageKind.CELL, rows)

    def _append(
        self,
        columns: Mapping[str, Column],
        images: Column | None,
        kinds: NDArray[np.uint8] | int,
        rows: int,
    ) -> None:
        caption, label = self._columns.caption, self._columns.label
        texts = self.captions.texts(columns[caption]) if self.captions and caption else None
        codes = self.labels.number(columns[label]) if self.labels and label else None
        try:
            self.file.append(images, texts, codes, kinds, rows)
        except DataError as error:
            raise DataError(f"{self._path}: {error}") from error


TableRowsFactory = Callable[[], TableRows]
