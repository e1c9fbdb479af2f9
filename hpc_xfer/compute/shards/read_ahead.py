"""Read ahead: a thread reads the shards of the next samples, so that these come from memory.

The samples of a window are needed in shuffled order, which a parallel file system serves slowly.
So a thread reads the sample ranges of a window once, in order, in large pieces. The samples then
come from the page cache of the node, which takes no memory of a process.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from queue import SimpleQueue

from hpc_xfer.compute.shards.sample_order import SampleOrder, SampleRange, Window
from hpc_xfer.compute.shards.shard import Shard
from hpc_xfer.compute.shards.shard_reader import ShardReader
from hpc_xfer.compute.shards.source_reader import SourceReader
from hpc_xfer.compute.shards.subsets.subset import Positions
from hpc_xfer.errors import DataError

_PIECE = 4 << 20  # bytes of one read; Lustre's and GPFS's usual stripe or block, or several


class ReadAhead:
    """Reads the windows of some streams before they are needed, in a thread of its own."""

    def __init__(
        self, reader: ShardReader | SourceReader, order: SampleOrder, chosen: Positions
    ) -> None:
        self.reader, self.order, self.streams = reader, order, order.streams_of(chosen)
        self._requested: dict[int, Window] = {}  # the last window by stream
        self._queue: SimpleQueue[Iterable[SampleRange] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def request(self, step: int) -> None:
        """Request the window of `step` and the next one, unless they were requested before.

        Of the window that a restart falls into, only the samples of later steps are read.
        """
        for ahead in (0, self.order.steps_per_window):
            for stream in self.streams:
                is_first = stream not in self._requested
                find = self.order.remaining_ranges if is_first else self.order.window_ranges
                window, ranges = find(step + ahead, stream)
                if window > self._requested.get(stream, (-1, -1)):
                    self._requested[stream] = window
                    self._queue.put(ranges)
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)
            self._thread.start()

    def _read(self) -> None:
        buffer = bytearray(_PIECE)
        while (ranges := self._queue.get()) is not None:
            if not self._is_closed:
                prefetch(self.reader.shard, ranges, buffer)

    def close(self) -> None:
        """End the thread after the ranges that it is reading."""
        self._is_closed = True
        self._queue.put(None)


def prefetch(
    shard: Callable[[int], Shard], ranges: Iterable[SampleRange], buffer: bytearray
) -> None:
    """Read sample ranges into the page cache. Errors are left to the reading of the samples."""
    for number, group in groupby(ranges, key=itemgetter(0)):
        with contextlib.suppress(DataError, OSError):
            opened = shard(number)
            handle = os.open(opened.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for _, first, end in group:
                    start, stop = opened.data_start(first), opened.data_end(end - 1)
                    for offset in range(start, stop, len(buffer)):
                        view = memoryview(buffer)[: min(len(buffer), stop - offset)]
                        os.preadv(handle, [view], offset)
            finally:
                os.close(handle)
