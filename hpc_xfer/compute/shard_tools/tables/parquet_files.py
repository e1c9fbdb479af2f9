"""Columns of Parquet files, and the images that such files embed.

Hugging Face writes an image as a struct of its bytes and the path it had; other writers write plain
bytes, or a path. Embedded bytes are read by the process that needs them, a row group at a time.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hpc_xfer.compute.shard_tools.tables.text_rows import quoted_names
from hpc_xfer.config.dataset_forms.listing import is_image
from hpc_xfer.errors import DataError, StudyError

_TAIL = 8  # bytes at the end of a file: the length of its footer and a mark
_LONGEST_PATH = 4096  # bytes
_HELD = 512 * 2**20  # bytes of images that a process keeps
_HUGGING_FACE = b"huggingface"  # key in the metadata of the schema


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
            value = _images(self.file, self.group, self.column)[self.row].as_py()
            if isinstance(value, dict):
                value = value.get("bytes") or value.get("path")
            if path := _path_in(value):
                value = (Path(self.file).parent / path).read_bytes()
        except (OSError, ValueError, pa.ArrowException) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{self}: its image cannot be read ({why}); check it") from error
        if not value:
            raise DataError(f"{self}: has no image; fill it in or remove the row")
        return bytes(value)


class EmbeddedImages:
    """The image column of files that embed images, without its bytes."""

    def __init__(self, files: Sequence[Path], column: str) -> None:
        self._column = column
        self._files: list[str] = []
        self._groups: list[tuple[int, int, int]] = []  # file, group, rows of the file before it
        sizes = []
        for place, path in enumerate(files):
            self._files.append(str(path.absolute()))
            metadata = parquet.read_metadata(path)
            before = 0
            for group in range(metadata.num_row_groups):
                self._groups.append((place, group, before))
                sizes.append(metadata.row_group(group).num_rows)
                before += sizes[-1]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._starts = self._ends - np.array(sizes, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def cells(self, positions: Sequence[int]) -> list[ImageCell]:
        """Name the cells of these rows."""
        found = np.searchsorted(self._ends, positions, side="right")
        cells = []
        for position, at in zip(positions, found.tolist(), strict=True):
            place, group, before = self._groups[at]
            row = position - int(self._starts[at])
            cells.append(ImageCell(self._files[place], self._column, group, row, before + row + 1))
        return cells


def _path_in(value: str | bytes | None) -> str:
    """Return the path that a cell holds; "" where it holds an image or nothing.

    Some writers (Spark, Impala) do not mark text as text.
    """
    if isinstance(value, bytes) and 0 < len(value) <= _LONGEST_PATH:
        text = value.decode("utf-8", "replace")
        return text if is_image(Path(text)) else ""
    return value if isinstance(value, str) else ""


_held: dict[tuple[str, int, str], Any] = {}  # row groups of this process, the latest use last


def _images(file: str, group: int, column: str) -> Any:
    """Read the images of a row group, or take them from those that were read last."""
    key = (file, group, column)
    found = _held.pop(key, None)
    if found is None:
        with parquet.ParquetFile(file) as opened:
            found = opened.read_row_group(group, columns=[column])[column]
        total = found.nbytes + sum(each.nbytes for each in _held.values())
        while _held and total > _HELD:
            total -= _held.pop(next(iter(_held))).nbytes
    _held[key] = found
    return found


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
        if _is_text(value):
            kinds.add(False)
        elif _is_bytes(kind) or names & {"bytes", "path"}:
            kinds.add(True)
        else:
            raise DataError(
                f"{path}: its column {column!r} holds {kind}, not paths or bytes of image files; "
                "name another one with --image-column"
            )
    if len(kinds) > 1:
        raise DataError(
            f"{files[0].parent}: column {column!r} holds paths in some files and bytes in others; "
            "pack them one by one"
        )
    return kinds == {True}


def read_column(files: Sequence[Path], name: str) -> Any:
    """Read a column of all files as one array, with the values in place of categories.

    Raises:
        DataError: a file is damaged, or its type does not go with that of the first one.
    """
    parts: list[Any] = []
    kind = pa.null()  # as a part without any value has it, or with fractions where one is empty
    for path in files:
        try:
            with parquet.ParquetFile(path) as opened:
                column = opened.read(columns=[name])[name]
            column = column.cast(_plain_type(column.type))
            column.validate(full=True)  # text that is not UTF-8
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: its column {name!r} cannot be read ({_why(error)}); correct the file"
            ) from error
        both = [pa.schema([(name, each)]) for each in (kind, column.type)]
        try:
            kind = pa.unify_schemas(both, promote_options="permissive").field(name).type
        except pa.ArrowException as error:
            raise DataError(
                f"{path}: its column {name!r} holds {column.type}, but that of {files[0].name} "
                f"holds {kind}; write one type"
            ) from error
        parts += column.chunks or [pa.array([], column.type)]
    return pa.concat_arrays([part.cast(kind) for part in parts])


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


def _noted_names(path: Path, name: str) -> tuple[str, ...] | None:
    noted = (_schema(path).metadata or {}).get(_HUGGING_FACE)
    try:
        names = json.loads(noted or b"{}")["info"]["features"][name]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


def _schema(path: Path) -> Any:
    try:
        return parquet.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read as a table ({_why(error)}); correct the file"
        ) from error


def _plain_type(kind: Any) -> Any:
    """Return the type of the values; text and bytes of any size."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if _is_text(kind) or _is_bytes(kind):
        return pa.large_string()  # bytes are text without a mark; validated as UTF-8
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _plain_type(kind.value_type)
        return pa.large_list(inner) if _is_text(inner) else kind
    return kind


def _is_text(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _why(error: Exception) -> str:
    return " ".join(str(error).split())
