"""Open Parquet files, whatever they say about themselves, and read their footers."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet
from pydantic_core import from_json

from hpc_xfer.compute.shard_tools.class_names import MOST
from hpc_xfer.compute.shard_tools.tables import memory_limit
from hpc_xfer.compute.shard_tools.tables.text_rows import quoted_names, type_name
from hpc_xfer.errors import DataError, StudyError

_MARK = b"PAR1"
_TAIL = 8  # bytes at the end of a file: the length of its footer and a mark
_MOST_FOOTER = 32 << 20  # bytes; 60,000 row groups of 5 columns take 30 MB
_MOST_ITEMS = 1_000_000  # row groups, or columns
_ROWS_A_BYTE = 10_000  # in a file; 15 million equal rows take 20 kB
_BUFFER = 1 << 20  # bytes of a column that are read at once; without it, all of a row group
_MOST_NOTES = 16 << 20  # bytes of JSON about the features
_LONGEST_REASON = 200  # letters
_HUGGING_FACE = b"huggingface"  # key in the metadata of the schema


class RowGroup(NamedTuple):
    """Size of a row group, as the footer tells it."""

    rows: int
    bytes: int  # unpacked


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file and bound what it may take; yields a pyarrow.parquet.ParquetFile.

    Raises:
        DataError: it is damaged, not a regular file, or takes too much memory.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: is not a regular file; name a file")
        size = _footer_size(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if size > _MOST_FOOTER:
        raise DataError(
            f"{path}: has a footer of {size >> 20:,} MB, more than {_MOST_FOOTER >> 20}; write it "
            "again in larger row groups"
        )
    with memory_limit.at_most(path):
        with errors_told(path):
            file = parquet.ParquetFile(
                path,
                buffer_size=_BUFFER,
                pre_buffer=False,
                thrift_string_size_limit=_MOST_FOOTER,
                thrift_container_size_limit=_MOST_ITEMS,
            )
        with file:
            yield file


@contextmanager
def errors_told(path: Path, column: str | None = None) -> Iterator[None]:
    """Turn errors of Arrow into a DataError, but for those of memory."""
    try:
        yield
    except MemoryError:  # some are errors of Arrow too
        raise
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise unreadable(path, error, column) from error


def unreadable(path: Path, error: Exception, column: str | None = None) -> DataError:
    """Say that a file, or a column of it, cannot be read."""
    what = (
        "cannot be read as a table" if column is None else f"its column {column!r} cannot be read"
    )
    why = " ".join(str(error).split())[:_LONGEST_REASON]
    return DataError(f"{path}: {what} ({why}); correct the file")


def check_columns(files: Sequence[Path], names: Sequence[str]) -> None:
    """Refuse files that lack one of these columns, or have it twice.

    Raises:
        StudyError: it names the first such file and column.
        DataError: a file is not Parquet.
    """
    for path in files:
        present = list(_schema(path).names)
        for name in names:
            if name not in present:
                raise StudyError(
                    f"{path}: has no column {name!r}, only {quoted_names(present)}; name "
                    "columns with --image-column, --caption-column and --label-column"
                )
            if present.count(name) > 1:
                raise StudyError(
                    f"{path}: has {present.count(name)} columns {name!r}; rename all but one"
                )


def column_types(files: Sequence[Path], name: str) -> list[Any]:
    """Return the type of a column in each file.

    Raises:
        DataError: a file cannot be read.
    """
    return [_schema(path).field(name).type for path in files]


def embeds_images(files: Sequence[Path], column: str) -> bool:
    """Return whether the image column holds images, or structs; else it holds paths.

    Raises:
        DataError: it holds neither.
    """
    kinds = set()
    for path in files:
        kind = _schema(path).field(column).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        names = {field.name for field in kind} if pa.types.is_struct(kind) else set()
        if is_text(value):
            kinds.add(False)
        elif is_bytes(kind) or names & {"bytes", "path"}:
            kinds.add(True)
        else:
            raise DataError(
                f"{path}: its column {column!r} holds {type_name(kind)}, not paths or bytes of "
                "image files; name another one with --image-column"
            )
    if len(kinds) > 1:
        raise DataError(
            f"{files[0].parent}: column {column!r} holds paths in some files and bytes in others; "
            "pack them one by one"
        )
    return kinds == {True}


def class_label_names(files: Sequence[Path], name: str) -> tuple[str, ...] | None:
    """Return the names that Hugging Face notes for the class numbers of a column.

    Raises:
        DataError: the files note different names.
    """
    found = {path: _noted_names(path, name) for path in files}
    if len(set(found.values())) > 1:
        raise DataError(
            f"{files[0].parent}: its files note different class names for {name!r}; pack them one "
            "by one"
        )
    return found[files[0]]


def footer_digest(path: Path) -> str:
    """Digest a file's size and footer, which says where each column lies; images are not read."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - _TAIL - length))
        return hashlib.sha256(f"{size}\n".encode() + file.read()).hexdigest()


def row_groups(path: Path) -> list[RowGroup]:
    """Read the footer about the row groups of a file.

    Raises:
        DataError: it cannot be read, or cannot be true.
    """
    with opened(path) as file, errors_told(path):
        metadata = file.metadata
        # Not about columns: where these make no sense, Arrow ends the process.
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        found = [RowGroup(group.num_rows, group.total_byte_size) for group in groups]
        rows = [group.rows for group in found]
        if min(rows, default=0) < 0 or sum(rows) > _ROWS_A_BYTE * path.stat().st_size:
            raise DataError(
                f"{path}: its footer says {sum(rows):,} rows, which do not fit into the file; "
                "correct the file"
            )
        return found


def read_row_group(path: Path, group: int, column: str) -> Any:
    """Read a column of a row group, a small one.

    Raises:
        DataError: it cannot be read, or takes too much memory.
    """
    with opened(path) as file, errors_told(path, column):
        return file.read_row_group(group, columns=[column], use_threads=False)[column]


def _noted_names(path: Path, name: str) -> tuple[str, ...] | None:
    noted = (_schema(path).metadata or {}).get(_HUGGING_FACE, b"{}")
    if len(noted) > _MOST_NOTES:
        raise DataError(f"{path}: its notes have {len(noted) >> 20} MB; remove them")
    try:
        names = from_json(noted)["info"]["features"][name]["names"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    if not isinstance(names, list) or not all(isinstance(each, str | int) for each in names):
        return None
    if len(names) > MOST:
        raise DataError(f"{path}: notes {len(names):,} class names for {name!r}; remove them")
    return tuple(map(str, names))


def _schema(path: Path) -> Any:
    with opened(path) as file, errors_told(path):
        return file.schema_arrow


def _footer_size(path: Path) -> int:
    """Read how long a footer is; 0 where there is none: Arrow says why."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        length = int.from_bytes(file.read(4), "little")
        return length if file.read() == _MARK and length < size else 0


def is_text(kind: Any) -> bool:
    """Return whether values of a type of Arrow are text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_bytes(kind: Any) -> bool:
    """Return whether values of a type of Arrow are bytes."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )
