"""Make the columns of a source while it is indexed: from the json of samples, or from tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpc_xfer.compute.shard_tools.source_index import column_scan
from hpc_xfer.compute.shard_tools.source_index.column_scan import Arrays, ShardColumns
from hpc_xfer.compute.shard_tools.source_index.column_table import ColumnTable
from hpc_xfer.compute.shards.shard_reader import ShardReader
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.training_data import columns
from hpc_xfer.config.training_data.columns import TableOrigin
from hpc_xfer.config.training_data.selection import CLASS, KEY
from hpc_xfer.errors import DataError
from hpc_xfer.system.written_path import absolute

_MOST_NAMES = 10  # of keys or columns, in a sentence


@dataclass(frozen=True)
class WantedColumns:
    """The columns that `shards index` is asked for."""

    names: tuple[str, ...]
    table: ColumnTable | None = None

    def of_table(self) -> list[str]:
        if self.table is None:
            return []
        there = set(self.table.columns()) - {KEY, CLASS, self.table.key}
        return [name for name in self.names if name in there]

    def of_samples(self) -> tuple[str, ...]:
        """Names of the columns that are read from the samples of each shard."""
        of_table = self.of_table()
        by = () if self.table is None else (self.table.key,)
        of_samples = [name for name in self.names if name not in of_table]
        return tuple(dict.fromkeys([*of_samples, *by]))

    def read_keys_alone(self) -> bool:
        """Tell whether a table has all columns, so that no data of samples has to be read."""
        return set(self.of_samples()) <= {KEY}

    def write(self, index: ShardIndex, shards: Sequence[ShardColumns]) -> list[str]:
        """Write the columns beside the index; return sentences on what is missing.

        Raises:
            DataError: no sample has a value in one of them, or the table does not fit.
        """
        found = column_scan.join(self.of_samples(), shards, index.classes)
        told: list[str] = []
        origin = None
        if self.table is not None:
            keys = np.concatenate([shard.hashes_of(self.table.key) for shard in shards])
            of_table = self.of_table()
            more, told = self.table.join(of_table, keys)
            if of_table:
                origin = TableOrigin(str(absolute(self.table.given)), self.table.key)
            found |= more
        arrays: Arrays = {name: found[name] for name in self.names}
        made = columns.write(index, arrays, check=self._refuse_empty, table=origin)
        for column in made.by_name.values():
            if column.missing:
                told.append(
                    f"column {column.name!r}: {column.missing:,} of {index.samples:,} samples have "
                    "no value"
                )
        return told

    def _refuse_empty(self, index: ShardIndex, name: str, missing: int) -> None:
        if missing < index.samples or not index.samples:
            return
        if name == CLASS:
            why = "no sample has a class; say where labels are with --label-key"
        else:
            some = ", ".join(index.json_keys[:_MOST_NAMES]) or "there are none"
            why = f"no sample has a value under {name!r}; name keys of the json: {some}"
            if self.table is not None:
                there = [each for each in self.table.columns() if each != self.table.key]
                why += f"; or columns of the table: {', '.join(there[:_MOST_NAMES])}"
        raise DataError(f"{index.folder}: {why}")


def keys_of(index: ShardIndex) -> list[ShardColumns]:
    """Read the keys of the samples of all shards; no other data is read.

    Raises:
        DataError: a shard is not the one that the index describes.
    """
    reader = ShardReader(index)
    return [ShardColumns((KEY,), reader.shard(number).keys) for number in range(len(index.entries))]
