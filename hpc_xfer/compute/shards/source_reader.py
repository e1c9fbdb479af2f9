"""The shards of one source or of a mixture, numbered source after source."""

import bisect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpc_xfer.compute.shards.sample_order import STREAMS
from hpc_xfer.compute.shards.shard import Shard
from hpc_xfer.compute.shards.shard_reader import ShardReader
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex


@dataclass
class SourceReader:
    """Opens shards by their number over all sources. Threads may share it."""

    indexes: Mapping[str, ShardIndex]  # by name of the source
    streams: int = STREAMS  # that are read side by side, in each source
    readers: tuple[ShardReader, ...] = field(init=False)

    def __post_init__(self) -> None:
        indexes = self.indexes.values()
        self.readers = tuple(ShardReader(each, self.streams, len(indexes)) for each in indexes)

    def shard(self, number: int) -> Shard:
        """Get a shard, opened if it is not open.

        Raises:
            DataError: as ShardReader.shard.
        """
        source = self.source_of(number)
        return self.readers[source].shard(number - self._firsts[source])

    def source_of(self, number: int) -> int:
        """The number of the source of a shard."""
        return bisect.bisect_right(self._firsts, number) - 1

    def index_of(self, number: int) -> ShardIndex:
        return self.readers[self.source_of(number)].index

    def entry(self, number: int) -> ShardEntry:
        source = self.source_of(number)
        return self.readers[source].index.entries[number - self._firsts[source]]

    def name(self, number: int) -> str:
        """Name a shard for people; in a mixture with its source."""
        entry = self.entry(number)
        if len(self.indexes) == 1:
            return entry.name
        return f"{[*self.indexes][self.source_of(number)]}/{entry.name}"

    @cached_property
    def _firsts(self) -> list[int]:
        return first_shards(self.indexes)

    def __reduce__(self) -> tuple[Any, ...]:
        return SourceReader, (self.indexes, self.streams)


def first_shards(indexes: Mapping[str, ShardIndex]) -> list[int]:
    """The number of the first shard of each source."""
    counts = [len(index.entries) for index in indexes.values()]
    return [0, *itertools.accumulate(counts)][: len(counts)]
