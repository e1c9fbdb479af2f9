"""A source as one process reads it: some shards open at a time, and read ahead from front to back.

Samples of a window are wanted in shuffled order, which a parallel file system serves badly. So a
thread reads the stretches of shards that a window holds once, in order, in large pieces; what the
samples are then read from is the page cache of the node, which no process has to hold.
"""

import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from queue import SimpleQueue
from typing import Any

from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.sample_index import SampleIndex
from hpc_xfer.compute.shards.sample_order import (
    STREAMS,
    Positions,
    SampleOrder,
    SampleRange,
    Window,
)
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config.shard_index import ShardIndex, index_command
from hpc_xfer.errors import DataError

_SAMPLES = 300_000  # in the tables of a process: 24 MB, and 1.5 GB of a node with 64 of them
_PER_LANE = 3  # shards at least: a lane may be at a seam, and its next window is read ahead
# Shards held open, where the system allows 1,024 files to a process; more of them are closed, not
# forgotten. 32 lanes of shards with 256 samples want 576.
_HELD = 512
_PIECE = 4 << 20  # bytes of one read; Lustre's and GPFS's usual stripe or block, or several


@dataclass(frozen=True)
class _Closed:
    """A shard whose table is kept and whose file is not: open again, it has to be the same file."""

    places: SampleIndex
    identity: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)


@dataclass
class ShardReader:
    """The shards of an index by number, opened when needed; threads may share it."""

    index: ShardIndex
    lanes: int = STREAMS  # that are read from it at a time
    _open: dict[int, Shard] = field(default_factory=dict)  # the longest unused first
    _closed: dict[int, _Closed] = field(default_factory=dict)  # unused for longer than those
    _samples: int = 0  # in the tables of both
    _lock: threading.Lock = field(default_factory=threading.Lock)  # of these; never held to read
    _opening: dict[int, threading.Lock] = field(default_factory=dict)

    def shard(self, number: int) -> Shard:
        """Raises:
        DataError: absent, damaged, or not what the index tells of.
        """
        with self._lock:
            if (shard := self._used(number)) is not None:
                return shard
            opening = self._opening.setdefault(number, threading.Lock())
        with opening:  # who wants the same shard waits, and nobody else
            with self._lock:
                if (shard := self._used(number)) is not None:
                    return shard
                closed = self._closed.get(number)
            shard = None if closed is None else self._again(number, closed)
            if shard is None:
                shard = self._opened(number)
            with self._lock:
                self._opening.pop(number, None)
                self._keep(number, shard)
            return shard

    def _used(self, number: int) -> Shard | None:
        shard = self._open.pop(number, None)
        if shard is not None:
            self._open[number] = shard
        return shard

    def _keep(self, number: int, shard: Shard) -> None:
        for kept in (self._open, self._closed):
            self._forget(kept, number)
        self._open[number] = shard
        self._samples += len(shard)
        while len(self._open) > _room():
            oldest = next(iter(self._open))
            last = self._open.pop(oldest)
            self._closed[oldest] = _Closed(last.places, last.identity)
        while self._samples > _SAMPLES and self._tables > _PER_LANE * self.lanes:
            least: dict[int, Any] = self._closed or self._open
            self._forget(least, next(iter(least)))

    def _forget(self, kept: dict[int, Any], number: int) -> None:
        if number in kept:
            self._samples -= len(kept.pop(number))

    @property
    def _tables(self) -> int:
        return len(self._open) + len(self._closed)

    def _again(self, number: int, closed: _Closed) -> Shard | None:
        """None where there is another file now, or the same was written to."""
        shard = Shard(self.index.path(self.index.entries[number]), closed.places).hold()
        return shard if shard.identity == closed.identity else None

    def _opened(self, number: int) -> Shard:
        entry = self.index.entries[number]
        path = self.index.path(entry)
        with contextlib.suppress(OSError):  # open_shard tells
            if (size := path.stat().st_size) != entry.bytes:
                raise DataError(
                    f"{path}: has {size:,} bytes where the index says {entry.bytes:,}: it was "
                    f"changed or cut off; run {index_command(self.index.folder)}"
                )
        known = sample_index_cache.shard(self.index.folder, entry)
        if known is not None:
            return known
        shard = open_shard(path)
        if len(shard) != entry.samples:
            raise DataError(
                f"{shard.path}: holds {len(shard):,} samples where the index says "
                f"{entry.samples:,}; run {index_command(self.index.folder)}"
            )
        if entry.layout not in (None, shard.layout):
            raise DataError(
                f"{shard.path}: is as large as the index says, but holds other samples: it was "
                f"replaced; run {index_command(self.index.folder)}"
            )
        return shard.hold()

    def __getstate__(self) -> dict[str, Any]:
        return {"index": self.index, "lanes": self.lanes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _room() -> int:
    """Shards that may be held open: half of the files that the system allows, if it is that few."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _HELD if allowed == resource.RLIM_INFINITY else min(_HELD, allowed // 2)


class ReadAhead:
    """Reads the windows of some lanes before they are wanted, in a thread of its own."""

    def __init__(self, source: ShardReader, order: SampleOrder, chosen: Positions) -> None:
        self.order, self.lanes = order, order.streams_of(chosen)
        self.source = source
        self._asked: dict[int, Window] = {}  # the last window by lane
        self._queue: SimpleQueue[Iterable[SampleRange] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def reach(self, step: int) -> None:
        """We are at `step`: this window and the next are wanted soon.

        Of the window that a restart falls into, what is still to come is read, and no more.
        """
        for ahead in (0, self.order.steps_per_window):
            for lane in self.lanes:
                find = self.order.stretches if lane in self._asked else self.order.rest
                window, stretches = find(step + ahead, lane)
                if window > self._asked.get(lane, (-1, -1)):
                    self._asked[lane] = window
                    self._queue.put(stretches)
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)
            self._thread.start()

    def _read(self) -> None:
        buffer = bytearray(_PIECE)
        while (stretches := self._queue.get()) is not None:
            if not self._closed:
                prefetch(self.source.shard, stretches, buffer)

    def close(self) -> None:
        """The thread ends after the stretches it is at."""
        self._closed = True
        self._queue.put(None)


def prefetch(
    shard: Callable[[int], Shard], stretches: Iterable[SampleRange], buffer: bytearray
) -> None:
    """Bring stretches into the page cache. What is wrong with a shard its samples will tell."""
    for number, together in groupby(stretches, key=itemgetter(0)):
        with contextlib.suppress(DataError, OSError):
            there = shard(number)
            handle = os.open(there.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for _, first, after in together:
                    low, high = there.begins(first), there.ends(after - 1)
                    for at in range(low, high, len(buffer)):
                        view = memoryview(buffer)[: min(len(buffer), high - at)]
                        os.preadv(handle, [view], at)
            finally:
                os.close(handle)
