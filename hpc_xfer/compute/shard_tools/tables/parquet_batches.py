"""Read columns of Parquet files a batch of rows at a time, as one type in all files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from hpc_xfer.compute.shard_tools.tables import parquet_files
from hpc_xfer.compute.shard_tools.tables.parquet_files import is_bytes, is_text
from hpc_xfer.compute.shard_tools.tables.text_rows import type_name
from hpc_xfer.errors import DataError

Column = Any  # a pyarrow.Array, which has no annotations
_MOST_ROWS = 65_536  # of a batch
_MOST_BYTES = 32 << 20  # of a batch, as the footer tells them


class GroupRun(NamedTuple):
    """Row groups of a file that follow each other."""

    file: Path
    groups: list[int] | None  # None: all
    with_images: bool = False


class Batch(NamedTuple):
    """Some rows that follow each other."""

    columns: dict[str, Column]
    images: Column | None  # that are embedded
    rows: int


def common_types(files: Sequence[Path], names: Sequence[str]) -> dict[str, Any]:
    """Return the type that holds the values of a column in each file, without categories.

    Raises:
        DataError: the type of a file does not go with those before.
    """
    found = {}
    for name in names:
        kind = pa.null()  # as a part without any value has it, or with fractions where one is empty
        for path, other in zip(files, parquet_files.column_types(files, name), strict=True):
            both = [pa.schema([(name, each)]) for each in (kind, _plain_type(other))]
            try:
                kind = pa.unify_schemas(both, promote_options="permissive").field(name).type
            except pa.ArrowException as error:
                raise DataError(
                    f"{path}: its column {name!r} holds {type_name(other)}, but that of "
                    f"{files[0].name} holds {type_name(kind)}; write one type"
                ) from error
        found[name] = kind
    return found


def batches(run: GroupRun, kinds: Mapping[str, Any], image: str | None) -> Iterator[Batch]:
    """Read row groups of a file.

    Args:
        kinds: columns and the types to turn them into.
        image: the column of embedded images, which is read where the run says so.

    Raises:
        DataError: they cannot be read, or take too much memory.
    """
    names = [*kinds, *([image] if image is not None and run.with_images else [])]
    with parquet_files.opened(run.file) as file:
        groups = list(range(file.num_row_groups)) if run.groups is None else run.groups
        if not names:
            yield from _counted(file, groups)
            return
        rows = _rows_at_once(file.metadata, groups)
        found = file.iter_batches(rows, row_groups=groups, columns=names, use_threads=False)
        while True:
            with parquet_files.errors_told(run.file, ", ".join(names)):
                batch = next(found, None)
            if batch is None:
                return
            images = batch.column(image) if image in names else None
            columns = {name: _plain(run.file, name, batch, kinds[name]) for name in kinds}
            yield Batch(columns, images, batch.num_rows)


def _plain(path: Path, name: str, batch: Any, kind: Any) -> Column:
    with parquet_files.errors_told(path, name):
        column = batch.column(name)
        column = column.cast(_plain_type(column.type)).cast(kind)
        column.validate(full=True)  # text that is not UTF-8
        return column


def _counted(file: Any, groups: Sequence[int]) -> Iterator[Batch]:
    """Yield rows of which no column is read."""
    for group in groups:
        left = file.metadata.row_group(group).num_rows
        while left > 0:
            rows = min(left, _MOST_ROWS)
            yield Batch({}, None, rows)
            left -= rows


def _rows_at_once(metadata: Any, groups: Sequence[int]) -> int:
    """Choose the rows of a batch: few where each has much, as the largest row group has it."""
    found = map(metadata.row_group, groups)
    most = max((group.total_byte_size / max(1, group.num_rows) for group in found), default=1.0)
    return int(min(_MOST_ROWS, max(1, _MOST_BYTES / max(1.0, most))))


def _plain_type(kind: Any) -> Any:
    """Return the type of the values; text and bytes of any size."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if is_text(kind) or is_bytes(kind):
        return pa.large_string()  # bytes are text without a mark; validated as UTF-8
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _plain_type(kind.value_type)
        return pa.large_list(inner) if is_text(inner) else kind
    return kind
