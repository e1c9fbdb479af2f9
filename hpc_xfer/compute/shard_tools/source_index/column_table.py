"""Take columns from tables beside the shards: Parquet or CSV, joined by the key of each sample.

The table is read in batches; in memory are the hashes of all keys, in their order, and the columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from hpc_xfer.compute.shard_tools.source_index.column_scan import Arrays, ColumnValues
from hpc_xfer.config.training_data.columns import text_hash
from hpc_xfer.errors import DataError

_ROWS = 65_536  # in a batch of Parquet
_BLOCK = 16 << 20  # bytes in a batch of CSV


@dataclass(frozen=True)
class ColumnTable:
    """Tables of the same columns, one row per sample."""

    files: tuple[Path, ...]
    key: str  # column whose values are the keys of samples, or a key of their json
    given: str  # as it was named: a file, a folder or a pattern

    def columns(self) -> list[str]:
        """Names of the columns.

        Raises:
            DataError: a table cannot be read, or lacks the key.
        """
        names: list[str] = _reading(self.files[0], lambda: _schema(self.files[0]).names)
        if self.key not in names:
            raise DataError(
                f"{self.files[0]}: has no column {self.key!r} to find the samples by; name one of "
                f"{', '.join(names[:10])} with --table-key"
            )
        return names

    def join(self, names: Sequence[str], keys: NDArray[Any]) -> tuple[Arrays, list[str]]:
        """Read these columns for the samples with these keys; and sentences on what was left.

        Args:
            keys: hashes, one per sample; 0 where it has none.

        Raises:
            DataError: a table cannot be read, or two samples have one key.
        """
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        if (twice := (np.diff(ordered) == 0) & (ordered[1:] != 0)).any():
            raise DataError(
                f"{self.files[0]}: {int(twice.sum()):,} samples have the same {self.key} as "
                "another one; name a column of unique keys with --table-key"
            )
        values = {name: ColumnValues.empty(len(keys)) for name in names}
        has_row, rows, unused = np.zeros(len(keys), dtype=bool), 0, 0
        for file in self.files:
            for batch in _batches(file, [self.key, *names]):
                hashes = np.fromiter(map(_key_hash, batch[self.key]), np.uint64)
                at = np.minimum(np.searchsorted(ordered, hashes), len(keys) - 1)
                found = (ordered[at] == hashes) & (hashes != 0)
                rows, unused = rows + len(found), unused + int((~found).sum())
                places = order[at]
                has_row[places[found]] = True
                for row in np.flatnonzero(found).tolist():
                    for name in names:
                        values[name].put(int(places[row]), batch[name][row])
        told = []
        if without := int((~has_row).sum()):
            told.append(f"{without:,} of {len(keys):,} samples have no row in {self.files[0]}")
        if unused:
            told.append(f"{unused:,} of {rows:,} rows of {self.files[0]} are of no sample")
        return {name: (each.kind, each.of_kind(each.kind)) for name, each in values.items()}, told


def _key_hash(key: str | None) -> int:
    return 0 if key is None else text_hash(key)


def _schema(file: Path) -> Any:
    if file.suffix.lower() == ".parquet":
        return parquet.read_schema(file)
    with csv.open_csv(file, parse_options=_parsing(file)) as reader:
        return reader.schema


def _batches(file: Path, names: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
    """Yield batches as lists of values by column; the first column as texts."""

    def opened() -> Any:
        if file.suffix.lower() == ".parquet":
            return parquet.ParquetFile(file).iter_batches(_ROWS, columns=list(names))
        types = csv.ConvertOptions(
            column_types={names[0]: pa.string()},
            include_columns=list(names),
            strings_can_be_null=True,
        )
        reading = csv.ReadOptions(block_size=_BLOCK)
        return csv.open_csv(file, reading, parse_options=_parsing(file), convert_options=types)

    batches = iter(_reading(file, opened))
    while (batch := _reading(file, lambda: next(batches, None))) is not None:
        columns = {name: batch.column(name) for name in names}
        columns[names[0]] = columns[names[0]].cast(pa.string())
        yield {name: values.to_pylist() for name, values in columns.items()}


def _parsing(file: Path) -> Any:
    return csv.ParseOptions(delimiter="\t" if file.suffix.lower() == ".tsv" else ",")


def _reading(file: Path, read: Any) -> Any:
    try:
        return read()
    except (OSError, pa.ArrowException) as error:
        why = str(error).splitlines()[0]
        raise DataError(f"{file}: cannot be read as a table ({why}); correct the file") from None
