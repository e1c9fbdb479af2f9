"""The shards of a source as one process reads them: opened when needed, some kept open."""

import contextlib
import resource
import threading
from dataclasses import dataclass, field
from typing import Any

from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.sample_index import SampleIndex
from hpc_xfer.compute.shards.sample_order import STREAMS
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError

_SAMPLES = 300_000  # in the tables of a process: 24 MB, or 1.5 GB on a node with 64 processes
# A stream may read two shards at the end of one, and its next window is read ahead.
_SHARDS_PER_STREAM = 3
# Shards kept open where the system allows 1,024 files per process; of the others only the table is
# kept. 32 streams of shards with 256 samples use 576.
_OPEN_SHARDS = 512


@dataclass(frozen=True)
class ClosedShard:
    """A shard of which only the table is kept. Opened again, it has to be the same file."""

    sample_index: SampleIndex
    identity: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.sample_index)


@dataclass
class RecentShards:
    """The shards used last, by number: some open, of others the table. Least recently used first.

    It is not locked: ShardReader locks it.
    """

    min_shards: int  # kept even if they hold more than max_samples
    max_open: int
    max_samples: int = _SAMPLES
    open: dict[int, Shard] = field(default_factory=dict)
    closed: dict[int, ClosedShard] = field(default_factory=dict)
    samples: int = 0  # in the tables of both

    def use(self, number: int) -> Shard | None:
        """Get an open shard and mark it as the last used; None where it is not open."""
        shard = self.open.pop(number, None)
        if shard is not None:
            self.open[number] = shard
        return shard

    def add(self, number: int, shard: Shard) -> None:
        for kept in (self.open, self.closed):
            self._remove(kept, number)
        self.open[number] = shard
        self.samples += len(shard)
        while len(self.open) > self.max_open:
            oldest = next(iter(self.open))
            last = self.open.pop(oldest)
            self.closed[oldest] = ClosedShard(last.sample_index, last.identity)
        while self.samples > self.max_samples and self._shards > self.min_shards:
            kept_longest: dict[int, Any] = self.closed or self.open
            self._remove(kept_longest, next(iter(kept_longest)))

    @property
    def _shards(self) -> int:
        return len(self.open) + len(self.closed)

    def _remove(self, kept: dict[int, Any], number: int) -> None:
        if number in kept:
            self.samples -= len(kept.pop(number))


@dataclass
class ShardReader:
    """Opens the shards of an index by number. Threads may share it."""

    index: ShardIndex
    streams: int = STREAMS  # that are read side by side
    readers: int = 1  # of the process, one per source, which share its open files and its memory
    recent: RecentShards = field(init=False)
    opening: dict[int, threading.Lock] = field(default_factory=dict)  # of shards being opened
    _lock: threading.Lock = field(default_factory=threading.Lock)  # never held while reading a file

    def __post_init__(self) -> None:
        most_open, samples = max_open_shards() // self.readers, _SAMPLES // self.readers
        self.recent = RecentShards(_SHARDS_PER_STREAM * self.streams, max(1, most_open), samples)

    def shard(self, number: int) -> Shard:
        """Get a shard, opened if it is not open.

        Raises:
            DataError: it is absent, damaged, or not the shard that the index describes.
        """
        with self._lock:
            if (shard := self.recent.use(number)) is not None:
                return shard
            opening = self.opening.setdefault(number, threading.Lock())
        with opening:  # only threads that need the same shard wait
            with self._lock:
                if (shard := self.recent.use(number)) is not None:
                    return shard
                closed = self.recent.closed.get(number)
            shard = None if closed is None else self._reopen(number, closed)
            if shard is None:
                shard = self._open(number)
            with self._lock:
                self.opening.pop(number, None)
                self.recent.add(number, shard)
            return shard

    def _reopen(self, number: int, closed: ClosedShard) -> Shard | None:
        """None where the file was written to or replaced."""
        path = self.index.path(self.index.entries[number])
        shard = Shard(path, closed.sample_index).keep_open()
        return shard if shard.identity == closed.identity else None

    def _open(self, number: int) -> Shard:
        entry = self.index.entries[number]
        path = self.index.path(entry)
        with contextlib.suppress(OSError):  # open_shard reports it
            if (size := path.stat().st_size) != entry.bytes:
                raise DataError(
                    f"{path}: has {size:,} bytes where the index says {entry.bytes:,}: it was "
                    f"changed or cut off; run {self.index.command}"
                )
        if (cached := sample_index_cache.open_cached(self.index.folder, entry)) is not None:
            return cached
        shard = open_shard(path)
        if len(shard) != entry.samples:
            raise DataError(
                f"{shard.path}: holds {len(shard):,} samples where the index says "
                f"{entry.samples:,}; run {self.index.command}"
            )
        if entry.layout not in (None, shard.layout):
            raise DataError(
                f"{shard.path}: has the size that the index says, but holds other samples: it was "
                f"replaced; run {self.index.command}"
            )
        return shard.keep_open()

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardReader, (self.index, self.streams, self.readers)


def max_open_shards() -> int:
    """Limit the open shards to half of the files that the system allows."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _OPEN_SHARDS if allowed == resource.RLIM_INFINITY else min(_OPEN_SHARDS, allowed // 2)
