"""Columns of the samples of a source: numbers and hashes by which a recipe selects.

    FOLDER/columns.json                  names, kinds, digests, their table and their index
    FOLDER/columns/0f3a....npy           one value per sample, in the order of the index

`python -m hpc_xfer.shards index FOLDER --columns clip_score,phash` makes them. An array has one of
three kinds: `number` (float64, NaN where there is none), `text` (the 64-bit hash of the text, see
`text_hash`; 0 where there is none), `class` (int32, -1 where there is none). A file is named by the
digest of its values, so a reader never mixes old and new ones.
"""

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from hpc_xfer.config.schema import closest
from hpc_xfer.config.shard_files import typed_json
from hpc_xfer.config.shard_files.typed_json import OddValue
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

if TYPE_CHECKING:  # numpy takes 0.1 s, and most studies select nothing
    from numpy.typing import NDArray

Check = Callable[[ShardIndex, str, int], None]  # index, name of a column, samples without a value
Kind = Literal["number", "text", "class"]
NAME, FOLDER = "columns.json", "columns"
DTYPES: Mapping[Kind, str] = {"number": "<f8", "text": "<u8", "class": "<i4"}
_SCHEMA = 1
_MOST_COLUMNS = 1000
INEXACT = 2**53  # whole numbers from here on have no exact float64


@dataclass(frozen=True)
class Column:
    """One value of each sample."""

    name: str
    kind: Kind
    file: str
    missing: int  # samples without a value
    sha256: str  # of the values


@dataclass(frozen=True)
class TableOrigin:
    """The table that columns were taken from, as `shards index` was given it."""

    path: str  # absolute; also a pattern or a folder
    key: str  # column by which samples were found


@dataclass(frozen=True)
class SourceColumns:
    """The columns of a source."""

    index: ShardIndex
    by_name: Mapping[str, Column]
    table: TableOrigin | None = field(default=None, kw_only=True)  # None: all are of the samples

    def values(self, name: str) -> "NDArray[Any]":
        """Read a column.

        Raises:
            DataError: there is no such column, or its file is damaged.
        """
        import numpy as np

        column = self.by_name.get(name)
        if column is None:
            raise DataError(self.without([name]))
        path = self.index.folder / FOLDER / column.file
        try:
            with open(atomic_files.open_plainly(path, follow=True), "rb") as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("is of another version of numpy's format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                if shape != (self.index.samples,) or dtype != np.dtype(DTYPES[column.kind]):
                    raise ValueError("does not have one value per sample")
                values = np.fromfile(file, dtype, self.index.samples)
            if len(values) < self.index.samples:
                raise ValueError("is cut off")
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); run {self.command()}") from None
        return values

    def numbers(self, name: str) -> "NDArray[Any]":
        """Read a column of numbers.

        Raises:
            DataError: it holds texts, or as `values`.
        """
        values = self.values(name)
        if self.by_name[name].kind != "number":
            raise DataError(
                f"{self.index.folder}: the column {name!r} does not hold numbers, which above, "
                "below and best need; name another column"
            )
        return values

    def hashes(self, name: str) -> "NDArray[Any]":
        """Read a column as hashes of texts, as lists of keys have them: 7 as the text `7`.

        Raises:
            DataError: it holds classes, or as `values`.
        """
        import numpy as np

        values, kind = self.values(name), self.by_name[name].kind
        if kind == "class":
            raise DataError(
                f"{self.index.folder}: the column {name!r} holds classes, which a list of keys "
                "cannot name; list the keys of the samples"
            )
        if kind == "text":
            return values
        found, there = np.zeros(len(values), dtype=DTYPES["text"]), ~np.isnan(values)
        texts = map(number_text, values[there].tolist())
        found[there] = np.fromiter(map(text_hash, texts), DTYPES["text"])
        return found

    def command(self, more: Sequence[str] = ()) -> str:
        """The command that makes these columns and more, to name as the way out."""
        options = f" --columns {shlex.quote(','.join([*self.by_name, *more]))}"
        if self.table is not None:
            options += f" --table {shlex.quote(self.table.path)}"
            options += f" --table-key {shlex.quote(self.table.key)}"
        return f"{self.index.command.removesuffix('`')}{options}`"

    def without(self, names: Sequence[str]) -> str:
        """Say which columns a source lacks, and how to make them beside those that it has."""
        told = ", ".join(map(repr, names))
        which = f"columns {told}" if len(names) > 1 else f"column {told}"
        meant = [each for name in names if (each := closest(name, self.by_name))]
        way = f"did you mean {meant[0]!r}? If not, run" if meant else "run"
        return f"{self.index.folder}: has no {which}; {way} {self.command(names)}"


def load(index: ShardIndex) -> SourceColumns:
    """Read which columns a source has; none where it has no columns.json.

    Raises:
        DataError: columns.json is damaged, or belongs to another index.
    """
    path = index.folder / NAME
    if not path.exists():
        return SourceColumns(index, {})
    try:
        content = atomic_files.read_json(path, follow=True)
        content = typed_json.mapping(content, "it")
        if typed_json.count(content, "schema") != _SCHEMA:
            raise OddValue(f"schema is not {_SCHEMA}")
        listed = typed_json.items(content, "columns", _MOST_COLUMNS)
        columns = [_column(typed_json.mapping(each, "a column")) for each in listed]
        of, samples = typed_json.text(content, "index"), typed_json.count(content, "samples")
        table = _table(content)
    except OddValue as odd:
        raise DataError(
            f"{path}: is damaged or of another version ({odd}); run `shards index` with --columns"
        ) from odd
    found = SourceColumns(index, {column.name: column for column in columns}, table=table)
    if of != index.fingerprint or samples != index.samples:
        raise DataError(
            f"{path}: belongs to other shards than {index.folder / 'index.json'}; run "
            f"{found.command()}"
        )
    return found


def _column(value: Mapping[str, Any]) -> Column:
    kind: Kind = typed_json.word(value, "kind", tuple(DTYPES))
    file = typed_json.path_below(value, "file", ".npy")
    missing = typed_json.count(value, "missing")
    return Column(
        typed_json.text(value, "name"), kind, file, missing, typed_json.text(value, "sha256", 64)
    )


def _table(content: Mapping[str, Any]) -> TableOrigin | None:
    """Read where columns came from; an older file does not say it."""
    if "table" not in content:
        return None
    table = typed_json.mapping(content["table"], "table")
    return TableOrigin(typed_json.text(table, "path"), typed_json.text(table, "key"))


def write(
    index: ShardIndex,
    arrays: Mapping[str, tuple[Kind, "NDArray[Any]"]],
    check: Check,
    table: TableOrigin | None = None,
) -> SourceColumns:
    """Write columns in place of those that were there.

    Args:
        arrays: kind and values by name; one value per sample in the order of the index.
        check: is told of each column how many samples have no value, before anything is written.
        table: that some of them were taken from.

    Raises:
        StoreError: the folder cannot be written.
    """
    import numpy as np

    exact = {n: np.ascontiguousarray(v, DTYPES[kind]) for n, (kind, v) in arrays.items()}
    by_name = {}
    for name, (kind, _) in arrays.items():
        digest = hashlib.sha256(exact[name].view(np.uint8).data).hexdigest()
        count = int(is_missing(exact[name]).sum())
        check(index, name, count)
        by_name[name] = Column(name, kind, f"{digest[:16]}.npy", count, digest)
    for name, column in by_name.items():
        _write_array(index.folder / FOLDER / column.file, exact[name])
    content = {
        "schema": _SCHEMA,
        "index": index.fingerprint,
        "samples": index.samples,
        "columns": [vars(column) for column in by_name.values()],
        **({} if table is None else {"table": vars(table)}),
    }
    atomic_files.write_json(index.folder / NAME, content)
    for path in (index.folder / FOLDER).glob("*.npy"):
        if path.name not in {column.file for column in by_name.values()}:
            path.unlink(missing_ok=True)
    return SourceColumns(index, by_name, table=table)


def _write_array(path: Path, values: "NDArray[Any]") -> None:
    import numpy as np

    def dump(file: IO[bytes]) -> None:
        header = np.lib.format.header_data_from_array_1_0(values)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(values.view(np.uint8).data)

    atomic_files.write_atomically(path, dump)


def is_missing(values: "NDArray[Any]") -> "NDArray[Any]":
    """Mark the samples without a value in a column of any kind."""
    import numpy as np

    if values.dtype.kind == "f":
        missing: NDArray[Any] = np.isnan(values)
        return missing
    return values < 0 if values.dtype.kind == "i" else values == 0


def text_hash(text: str) -> int:
    """64 bits of the BLAKE2b digest of a text, as they are stored; never 0."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def number_text(value: float) -> str:
    """The text whose hash stands for a number, in a column that holds texts too."""
    is_whole = value == value // 1 and abs(value) < INEXACT
    return str(int(value)) if is_whole else repr(float(value))
