"""A CSV, TSV or Parquet table as input: one row per sample, columns for image, caption, label.

The table is read once, a batch of rows at a time, into files beside the shards, from which rows are
read in any order: a table of 15 million rows takes as little memory as one of 15.
"""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from hpc_xfer.compute.shard_tools.inputs import FileReader, FileRow
from hpc_xfer.compute.shard_tools.reencode import Reencoding
from hpc_xfer.compute.shard_tools.tables import (
    delimited,
    embedded_images,
    label_column,
    parquet_batches,
    parquet_files,
)
from hpc_xfer.compute.shard_tools.tables.delimited import Quoting
from hpc_xfer.compute.shard_tools.tables.embedded_images import (
    EmbeddedImages,
    ImageCell,
    StoredImage,
)
from hpc_xfer.compute.shard_tools.tables.label_column import LabelKind, Labels
from hpc_xfer.compute.shard_tools.tables.parquet_batches import GroupRun
from hpc_xfer.compute.shard_tools.tables.row_file import ImageKind, StoredRow
from hpc_xfer.compute.shard_tools.tables.table_rows import Columns, TableRows
from hpc_xfer.compute.shards import captions
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system import atomic_files

PARQUET = ".parquet"


@dataclass(frozen=True)
class TableForm:
    """Answers of the user where a table can be read in two ways. None: as the table shows."""

    separator: str | None = None  # of fields
    quoting: Quoting | None = None
    labels: LabelKind | None = None


class Table:
    """The rows of a table, or of several Parquet files.

    Its labels name the classes, or `classes.json` beside it does.

    Raises:
        StudyError: it lacks one of these columns, or it can be meant in two ways.
        DataError: it cannot be read, or its labels are neither whole numbers nor names.
        StoreError: its rows have no room on disk.
    """

    def __init__(
        self,
        path: Path | Sequence[Path],
        columns: Columns,
        reencoding: Reencoding | None = None,
        form: TableForm | None = None,
        scratch: Path | None = None,
    ) -> None:
        """Read the table.

        Args:
            scratch: a folder for the rows; None: that of the system for temporary files.
        """
        files = [path] if isinstance(path, Path) else list(path)
        form = form or TableForm()
        self._folder = str(files[0].absolute().parent)
        self._scratch = scratch
        self._embedded: EmbeddedImages | None = None
        self.notes: tuple[str, ...] = ()
        with ExitStack() as self._made:  # a refused table leaves no files of rows
            self._read(files, columns, form)
            self._made.pop_all()
        self.classes = None if self._labels is None else self._labels.classes
        named = self._labels is not None and self._labels.captions is not None
        has_captions = columns.caption is not None or named
        self.reader = FileReader(has_captions, self._labels is not None, reencoding)

    def __len__(self) -> int:
        return len(self._rows.file)

    def rows(self, positions: Sequence[int]) -> list[FileRow]:
        cells: Sequence[ImageCell | None] = [None] * len(positions)
        if self._embedded is not None:
            cells = self._embedded.cells(positions)
        found = self._rows.file.read(positions)
        return [
            self._row(stored, cell, position + 1)
            for stored, cell, position in zip(found, cells, positions, strict=True)
        ]

    def _row(self, stored: StoredRow, cell: ImageCell | None, number: int) -> FileRow:
        """Make a row. An image with several captions has the first one, and a list of all."""
        image: str | ImageCell | StoredImage | None = cell
        if stored.kind == ImageKind.PATH:
            image = os.path.join(self._folder, stored.image) if stored.image else None
        elif cell is not None and stored.kind == ImageKind.STORED:
            image = StoredImage(self._rows.file.name, stored.at, stored.length, cell)
        label, caption = None, stored.caption
        if self._labels is not None and stored.label is not None:
            label = self._labels.numbers[stored.label]
            if self._rows.captions is None and self._labels.captions is not None:
                caption = self._labels.captions[stored.label]
        if caption is None or self._rows.captions is None or not self._rows.captions.are_lists:
            return FileRow(image, caption, label, number)
        texts = tuple(captions.texts(json.loads(caption)))
        return FileRow(image, texts[0] if texts else None, label, number, texts)

    def _read(self, files: Sequence[Path], columns: Columns, form: TableForm) -> None:
        is_parquet = files[0].suffix.lower() == PARQUET
        if is_parquet:
            self._rows = self._read_parquet(files, columns)
        else:
            self._rows = self._read_text(files[0], columns, form)
        self._rows.file.finish()
        self._set_identity(files, columns, form)
        if self._rows.captions is not None:
            self.notes += self._rows.captions.notes
        self._labels = self._read_labels(files if is_parquet else [], columns, form)

    def _new_rows(self, path: Path, columns: Columns) -> TableRows:
        return self._made.enter_context(closing(TableRows(path, columns, self._scratch)))

    def _read_parquet(self, files: Sequence[Path], columns: Columns) -> TableRows:
        parquet_files.check_columns(files, columns.unique)
        image, names = None, columns.unique
        runs = [GroupRun(path, None) for path in files]
        if parquet_files.embeds_images(files, columns.image):
            image = columns.image
            if image in (columns.caption, columns.label):
                raise StudyError(
                    f"{files[0]}: column {image!r} holds images, so it holds neither captions nor "
                    "labels; name another column"
                )
            names = [name for name in names if name != image]
            self._embedded = EmbeddedImages(files, image)
            runs = list(self._embedded.runs())
        kinds = parquet_batches.common_types(files, names)
        rows = self._new_rows(files[0], columns)
        for run in runs:
            for batch in parquet_batches.batches(run, kinds, image):
                if image is None:
                    rows.add(batch.columns)
                elif batch.images is None:
                    rows.add_cells(batch.columns, batch.rows)
                else:
                    stored = embedded_images.to_store(run.file, batch.images)
                    rows.add_embedded(batch.columns, *stored)
        if self._embedded is not None and len(self._embedded) != len(rows.file):
            raise DataError(
                f"{files[0]}: holds {len(rows.file):,} rows where footers say "
                f"{len(self._embedded):,}; correct the file"
            )
        return rows

    def _read_text(self, path: Path, columns: Columns, form: TableForm) -> TableRows:
        found = delimited.read(
            path,
            columns.unique,
            columns.image,
            lambda: self._new_rows(path, columns),
            form.separator,
            form.quoting,
        )
        self.notes, self._quoting = found.notes, found.quoting
        return found.rows

    def _set_identity(self, files: Sequence[Path], columns: Columns, form: TableForm) -> None:
        is_embedded = self._embedded is not None
        digest = parquet_files.footer_digest if is_embedded else atomic_files.sha256
        digests = list(map(digest, files))
        quoting = None if files[0].suffix.lower() == PARQUET else self._quoting
        # Marks were always read as a CSV has them; only the other way gives other rows.
        form_told = {**asdict(form), "quoting": quoting if quoting == "none" else None}
        self.identity: dict[str, object] = {
            "table": digests[0] if len(files) == 1 else digests,
            **asdict(columns),
            # Absent where the table alone decides, as in calls of earlier versions.
            **{key: value for key, value in form_told.items() if value is not None},
        }

    def _read_labels(
        self, parquets: Sequence[Path], columns: Columns, form: TableForm
    ) -> Labels | None:
        if columns.label is None or self._rows.labels is None:
            return None
        noted = parquet_files.class_label_names(parquets, columns.label) if parquets else None
        labels = label_column.read(self._rows.labels, form.labels, noted)
        self.notes += labels.notes
        return labels
