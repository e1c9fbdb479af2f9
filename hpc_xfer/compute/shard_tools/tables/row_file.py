"""Keep the rows of a table in files beside the shards, so that no column stays in memory.

    rows = RowFile(folder)
    rows.append(images, captions, labels)     # Arrow columns of a batch of rows
    rows.read([7, 3])                         # any rows, in any order

One file holds the texts of all rows, the other one a record of 21 bytes per row, which says where
its texts lie. Both are removed with the object, or at the end of the process.
"""

import fcntl
import os
import struct
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.system import atomic_files

Column = Any  # a pyarrow.Array, which has no annotations
MOST_TEXT = 1 << 20  # bytes of a path, or of the captions of an image
_BUFFER = 1 << 20  # bytes
_SUFFIX = ".rows"
_RECORD = np.dtype(
    [("at", "<i8"), ("image", "<i4"), ("caption", "<i4"), ("label", "<i4"), ("kind", "u1")]
)
_UNPACK = struct.Struct("<qiiiB")  # the same
_NONE = -1  # length of what is null, and number of a label that is missing


class ImageKind:
    """Kinds of images in the rows of a table; numbers, as an enum takes longer than a read."""

    PATH = 0
    STORED = 1  # bytes, copied from the table
    CELL = 2  # bytes, left in the table


class StoredRow(NamedTuple):
    """A row as it was appended."""

    kind: int  # an ImageKind
    image: str | None  # a path
    at: int  # where stored bytes begin
    length: int  # of them
    caption: str | None
    label: int | None


class RowFile:
    """The rows of a table, on disk.

    Raises:
        StoreError: there is no room for them.
    """

    def __init__(self, folder: Path | None) -> None:
        """Make empty files.

        Args:
            folder: None, or one that cannot be written: that of the system for temporary files.
        """
        above = [] if folder is None else [folder, folder.parent]
        made = [each for each in above if not each.exists()]
        if folder is not None:
            _remove_orphans(folder)
        self.name, self._texts = _created(folder)
        name, self._records = _created(Path(self.name).parent)
        self._rows = self._end = 0
        self.close = weakref.finalize(
            self, _remove, (self._texts, self._records), (self.name, name), made
        )

    def __len__(self) -> int:
        return self._rows

    def append(
        self,
        images: Column | None,
        captions: Column | None,
        labels: NDArray[np.int32] | None,
        kinds: NDArray[np.uint8] | int,
        rows: int,
    ) -> None:
        """Append a batch of rows; text as large strings, bytes as large binary.

        Raises:
            DataError: a text is longer than any caption or path.
        """
        records = np.zeros(rows, _RECORD)
        records["kind"] = kinds
        records["label"] = _NONE if labels is None else labels
        lengths = np.zeros(rows, np.int64)
        for name, column in (("image", images), ("caption", captions)):
            records[name] = _NONE
            if column is not None:
                of_column = self._lengths(name, column, records["kind"])
                records[name] = of_column
                lengths += np.maximum(of_column, 0)
        records["at"] = self._end + np.cumsum(lengths) - lengths
        try:
            self._texts.write(_data(_joined(images, captions)))
            self._records.write(records.tobytes())
        except OSError as error:
            raise _no_room(self.name, error) from error
        self._rows += rows
        self._end += int(lengths.sum())

    def finish(self) -> None:
        """Make all rows readable."""
        try:
            self._texts.flush()
            self._records.flush()
        except OSError as error:
            raise _no_room(self.name, error) from error

    def read(self, positions: Sequence[int]) -> Iterator[StoredRow]:
        """Read these rows."""
        records, texts = self._records.fileno(), self._texts.fileno()
        size = _UNPACK.size
        for position in positions:
            record = os.pread(records, size, position * size)
            at, image, caption, label, kind = _UNPACK.unpack(record)
            # Whoever needs the bytes of an image reads them.
            path = image if kind == ImageKind.PATH and image > 0 else 0
            length = path + caption if caption > 0 else path
            begin = at + image if kind == ImageKind.STORED and image > 0 else at
            text = os.pread(texts, length, begin) if length else b""
            yield StoredRow(
                kind,
                None if not path else text[:path].decode("utf-8", "surrogateescape"),
                at,
                image,
                None if caption < 0 else text[path:].decode(),
                None if label < 0 else label,
            )

    def _lengths(self, what: str, column: Column, kinds: NDArray[np.uint8]) -> NDArray[np.int64]:
        found = pc.fill_null(pc.binary_length(column), _NONE).to_numpy(zero_copy_only=False)
        lengths: NDArray[np.int64] = found.astype(np.int64, copy=False)
        is_text = kinds != ImageKind.STORED if what == "image" else np.bool_(True)
        long = np.flatnonzero((lengths > MOST_TEXT) & is_text)
        if len(long):
            row = self._rows + int(long[0]) + 1
            raise DataError(
                f"row {row:,}: its {what} is a text of {int(lengths[long[0]]):,} bytes, more than "
                f"{MOST_TEXT:,}; shorten it or remove the row"
            )
        return lengths


def _joined(images: Column | None, captions: Column | None) -> Column | None:
    """Join the two texts of each row, or return the only one; null is empty."""
    columns = [column for column in (images, captions) if column is not None]
    if len(columns) < 2:
        return (
            pc.fill_null(columns[0], "")
            if columns and columns[0].null_count
            else (columns or [None])[0]
        )
    if columns[0].type != columns[1].type:
        columns = [column.cast(pa.large_binary()) for column in columns]
    return pc.binary_join_element_wise(
        *columns, pa.scalar("", columns[0].type), null_handling="replace", null_replacement=""
    )


def _data(column: Column | None) -> memoryview:
    """Return the bytes of all values, one after another."""
    if column is None or not len(column):
        return memoryview(b"")
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[[column.offset, column.offset + len(column)]]
    return memoryview(data or b"")[ends[0] : ends[1]]


def _created(folder: Path | None) -> tuple[str, IO[bytes]]:
    """Make a file, locked while it is open, so that one of a killed process is told from it."""
    if folder is not None:
        try:
            atomic_files.make_folder(folder)
            handle, name = tempfile.mkstemp(_SUFFIX, dir=folder)
        except OSError:  # as in a finished folder that nobody may write any more
            return _created(None)
    else:
        handle, name = tempfile.mkstemp(_SUFFIX)
    with suppress(OSError):  # of a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return name, open(handle, "r+b", buffering=_BUFFER)


def _remove_orphans(folder: Path) -> None:
    """Remove the files of processes that were killed; they may be large."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _remove(files: Sequence[IO[bytes]], names: Sequence[str], made: Sequence[Path]) -> None:
    for file, name in zip(files, names, strict=True):
        with suppress(OSError):  # what was buffered has no room
            file.close()
        Path(name).unlink(missing_ok=True)
    for folder in made:  # empty where the table was refused
        with suppress(OSError):
            folder.rmdir()


def _no_room(name: str, error: OSError) -> StoreError:
    return StoreError(
        f"{Path(name).parent}: has no room for the rows of the table ({error.strerror}); free space"
    )
