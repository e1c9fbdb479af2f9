"""A CSV, TSV or Parquet table as input: one row per sample, columns for image, caption, label.

The table stays in Arrow columns: 15 million rows of a path and a caption take 3 GB, not 8 GB.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from hpc_xfer.compute.shard_tools import class_names
from hpc_xfer.compute.shard_tools.inputs import FileReader, FileRow
from hpc_xfer.compute.shard_tools.reencode import Reencoding
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system import atomic_files

Column = Any  # a pyarrow.Array, which has no annotations


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read."""

    image: str = "image"  # paths, relative to the table
    caption: str | None = None
    label: str | None = None  # class numbers or names; names also become missing captions

    @property
    def unique(self) -> list[str]:
        """Each column once: captions and labels may be the same one."""
        names = [self.image, self.caption, self.label]
        return list(dict.fromkeys(name for name in names if name is not None))


class Table:
    """The rows of a table. Its labels name the classes, or `classes.json` beside it does.

    Raises:
        StudyError: it lacks one of these columns.
        DataError: it cannot be read, or its labels are neither whole numbers nor names.
    """

    def __init__(self, path: Path, columns: Columns, reencoding: Reencoding | None = None) -> None:
        table = _read(path, columns.unique)
        self._folder = path.absolute().parent
        self._images = _texts(table[columns.image])
        self._captions = None if columns.caption is None else _texts(table[columns.caption])
        self._labels: Column | None = None
        self.classes: tuple[str, ...] | None = None
        if columns.label is not None:
            values = _values(table[columns.label])
            self._labels, self.classes = _labels(path, values)
            if self._captions is None and _is_text(values):
                self._captions = values
        self.reader = FileReader(self._captions is not None, self._labels is not None, reencoding)
        self.identity = {"table": atomic_files.sha256(path), **asdict(columns)}

    def __len__(self) -> int:
        return len(self._images)

    def rows(self, positions: Sequence[int]) -> list[FileRow]:
        def values(column: Column | None) -> list[Any]:
            return [None] * len(positions) if column is None else column.take(positions).to_pylist()

        columns = (values(self._images), values(self._captions), values(self._labels))
        return [
            FileRow(str(self._folder / image) if image else None, caption, label, position + 1)
            for image, caption, label, position in zip(*columns, positions, strict=True)
        ]


def _read(path: Path, names: list[str]) -> Any:
    """Read these columns; those of a CSV all as text."""
    try:
        present = _column_names(path)
        if missing := [name for name in names if name not in present]:
            raise StudyError(
                f"{path}: has no column {missing[0]!r}, only {', '.join(map(repr, present))}; name "
                "columns with --image-column, --caption-column and --label-column"
            )
        if path.suffix == ".parquet":
            return parquet.read_table(path, columns=names)
        texts = csv.ConvertOptions(
            include_columns=names, column_types=dict.fromkeys(names, pa.large_string())
        )
        return csv.read_csv(path, parse_options=_parsing(path), convert_options=texts)
    except (OSError, pa.ArrowException) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as a table ({why}); correct the file") from error


def _column_names(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return list(parquet.read_schema(path).names)
    with csv.open_csv(path, parse_options=_parsing(path)) as reader:
        return list(reader.schema.names)


def _parsing(path: Path) -> Any:
    """Allow line breaks in quoted captions."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    return csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)


def _plain(column: Any) -> Column:
    """Join a column into one array, with the values in place of categories."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.combine_chunks()


def _texts(column: Any) -> Column:
    return _plain(column).cast(pa.large_string())


def _is_text(values: Column) -> bool:
    return bool(pa.types.is_large_string(values.type))


def _values(column: Any) -> Column:
    """Convert labels: names to text, others to numbers, empty cells to null."""
    values = _plain(column)
    if pa.types.is_string(values.type):
        values = values.cast(pa.large_string())
    if not _is_text(values):
        return values
    values = pc.if_else(pc.equal(pc.utf8_trim_whitespace(values), ""), None, values)
    numbers = pc.all(pc.match_substring_regex(values, "^[0-9]{1,18}$")).as_py()
    return values.cast(pa.int64()) if numbers else values


def _labels(path: Path, values: Column) -> tuple[Column, tuple[str, ...] | None]:
    """Return the class number of each row (null without one) and the names of the classes."""
    if _is_text(values):
        names = class_names.load(path.parent, set(values.unique().drop_null().to_pylist()))
        return pc.index_in(values, pa.array(names, values.type)), names
    try:
        numbers = values.cast(pa.int64())
    except pa.ArrowException as error:
        raise DataError(
            f"{path}: a label is not a class number ({error}); write 0, 1, 2, ..."
        ) from error
    limits = pc.min_max(numbers).as_py()
    if limits["min"] is not None and limits["min"] < 0:
        raise DataError(f"{path}: has the label {limits['min']}; write 0, 1, 2, ...")
    return numbers, class_names.load(path.parent, 1 + (limits["max"] or 0))
