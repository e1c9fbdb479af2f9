"""A CSV, TSV or Parquet table as input: one row per sample, columns for image, caption, label.

The table stays in Arrow columns: 15 million rows of a path and a caption take 3 GB, not 8 GB.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hpc_xfer.compute.shard_tools.inputs import FileReader, FileRow
from hpc_xfer.compute.shard_tools.reencode import Reencoding
from hpc_xfer.compute.shard_tools.tables import delimited, label_column, parquet_files
from hpc_xfer.compute.shard_tools.tables.delimited import Quoting
from hpc_xfer.compute.shard_tools.tables.label_column import LabelKind
from hpc_xfer.compute.shard_tools.tables.parquet_files import EmbeddedImages, ImageCell
from hpc_xfer.compute.shards import captions
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system import atomic_files

Column = Any  # a pyarrow.Array, which has no annotations
PARQUET = ".parquet"


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
    """

    def __init__(
        self,
        path: Path | Sequence[Path],
        columns: Columns,
        reencoding: Reencoding | None = None,
        form: TableForm | None = None,
    ) -> None:
        files = [path] if isinstance(path, Path) else list(path)
        form = form or TableForm()
        self._folder = files[0].absolute().parent
        self.notes: tuple[str, ...] = ()
        found = self._read(files, columns, form)
        self._captions: Column | None = None
        self._labels: Column | None = None
        self.classes: tuple[str, ...] | None = None
        if columns.caption is not None:
            self._captions, notes = _captions(files[0], columns.caption, found[columns.caption])
            self.notes += notes
        if columns.label is not None:
            self._read_labels(files, columns.label, found[columns.label], form)
        self.reader = FileReader(self._captions is not None, self._labels is not None, reencoding)

    def __len__(self) -> int:
        return len(self._images)

    def rows(self, positions: Sequence[int]) -> list[FileRow]:
        chosen = pa.array(list(positions), pa.int64())

        def values(column: Column | None) -> list[Any]:
            return [None] * len(chosen) if column is None else column.take(chosen).to_pylist()

        columns = (self._images_of(positions), values(self._captions), values(self._labels))
        return [
            _row(image, caption, label, position + 1)
            for image, caption, label, position in zip(*columns, positions, strict=True)
        ]

    def _read(self, files: Sequence[Path], columns: Columns, form: TableForm) -> dict[str, Column]:
        """Read all but the bytes of images; set the images, the identity and the first notes."""
        self._images: Column | EmbeddedImages
        quoting: Quoting | None = None
        if files[0].suffix.lower() == PARQUET:
            parquet_files.check_columns(files, columns.unique)
            embedded = parquet_files.embeds_images(files, columns.image)
            names = [name for name in columns.unique if not embedded or name != columns.image]
            if embedded and columns.image in (columns.caption, columns.label):
                raise StudyError(
                    f"{files[0]}: column {columns.image!r} holds images, so it holds neither "
                    "captions nor labels; name another column"
                )
            found = {name: parquet_files.read_column(files, name) for name in names}
            self._images = (
                EmbeddedImages(files, columns.image) if embedded else found[columns.image]
            )
            digest = parquet_files.footer_digest if embedded else atomic_files.sha256
        else:
            digest = atomic_files.sha256
            table = delimited.read(
                files[0], columns.unique, columns.image, form.separator, form.quoting
            )
            found, self.notes, quoting = table
            self._images = found[columns.image]
        digests = list(map(digest, files))
        # Marks were always read as a CSV has them; only the other way gives other rows.
        form_told = {**asdict(form), "quoting": quoting if quoting == "none" else None}
        self.identity: dict[str, object] = {
            "table": digests[0] if len(files) == 1 else digests,
            **asdict(columns),
            # Absent where the table alone decides, as in calls of earlier versions.
            **{key: value for key, value in form_told.items() if value is not None},
        }
        return found

    def _read_labels(
        self, files: Sequence[Path], name: str, values: Column, form: TableForm
    ) -> None:
        is_parquet = files[0].suffix.lower() == PARQUET
        noted = parquet_files.class_label_names(files, name) if is_parquet else None
        labels = label_column.read(files[0], values, form.labels, noted)
        self._labels, self.classes = labels.numbers, labels.classes
        self.notes += labels.notes
        if self._captions is None:
            self._captions = labels.captions

    def _images_of(self, positions: Sequence[int]) -> list[str | ImageCell | None]:
        if isinstance(self._images, EmbeddedImages):
            return list(self._images.cells(positions))
        paths = self._images.take(pa.array(list(positions), pa.int64())).to_pylist()
        return [str(self._folder / path) if path else None for path in paths]


def _row(
    image: str | ImageCell | None, caption: str | list[str] | None, label: int | None, number: int
) -> FileRow:
    """Make a row. An image with several captions has the first one, and a list of all."""
    if not isinstance(caption, list):
        return FileRow(image, caption, label, number)
    found = tuple(captions.texts(caption))
    return FileRow(image, found[0] if found else None, label, number, found)


def _captions(path: Path, name: str, values: Column) -> tuple[Column, tuple[str, ...]]:
    """Return captions as text or lists of text, and sentences about them.

    Raises:
        DataError: the column holds something else.
    """
    kind = values.type
    if pa.types.is_large_list(kind) and pa.types.is_large_string(kind.value_type):
        missing = pc.fill_null(_stand_for_none(values.flatten()), True)
        of = pc.list_parent_indices(values).filter(pc.invert(missing))
        most = pc.max(pc.value_counts(of).field("counts")).as_py() or 0
        note = (
            f"images have up to {most:,} captions: the first is in txt, and all are in the "
            "json, under captions"
        )
        return values, (note,) if most > 1 else ()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_large_string(kind):
        texts = values.cast(pa.large_string())
        missing = pc.and_(_stand_for_none(texts), pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
        texts, notes = label_column.without(texts, missing, "caption")
        numbers = pc.match_substring_regex(texts, r"^\s*[+-]?[0-9.]+\s*$")
        if len(texts) > texts.null_count and pc.all(numbers).as_py():
            notes += (
                f"all captions in column {name!r} are numbers; give a column of text with "
                "--caption-column, or name this one with --label-column",
            )
        return texts, notes
    raise DataError(
        f"{path}: column {name!r} holds {kind}, not captions; name a column of text, or of lists "
        "of text, with --caption-column"
    )


def _stand_for_none(texts: Column) -> Column:
    """Return which texts are no captions, as the loaders tell them; null where there is none."""
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    words = pa.array(["", *sorted(captions.NONE)], plain.type)
    return pc.if_else(pc.is_valid(plain), pc.is_in(plain, words), None)
