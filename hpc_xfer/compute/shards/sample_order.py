"""Which sample is at which position: a pure function of (shard sizes, subset, seed, epoch).

    subset = Subset.draw(sizes=[1000, 1000, 704], samples=2000, seed=0)
    order = SampleOrder(subset, batch=256, seed=0)
    epoch, locations = order.locate(step=17)   # 256 x (shard, sample in it), the same on every rank
    share(256, rank=1, ranks=8)                # the positions in the batch that belong to a rank

The order does not depend on the number of ranks and workers: each takes its part of the global
batch. So a run can stop at any step and go on with any number of processes.

Large sources are read as 32 streams side by side: the samples of an epoch are cut into 32 sections
of equal length, and each batch takes one 32nd from every section. The part of a rank is made of
whole streams, so it reads its own shards, from front to back, and no others. Inside a stream
samples are shuffled within windows.

The samples of a mixture of sources are interleaved (subsets/interleaving.py), so each window has
the shares of the whole. Its shards are numbered source after source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hpc_xfer.compute.shards.subsets.interleaving import split_numbers, split_range
from hpc_xfer.compute.shards.subsets.subset import Positions, SampleLocation, Subset

SampleRange = tuple[int, int, int]  # shard, first sample, sample after the last
Window = tuple[int, int]  # epoch, number in a stream

# Samples are shuffled inside windows of this many, over all streams together: at 35 kB per sample
# 2.3 GB, which the page caches of the nodes hold. Both numbers decide the order: never change them.
WINDOW = 1 << 16
STREAMS = 32  # at most
_GAP = 8  # samples that are not chosen, in a row: more are passed over when reading ahead


@dataclass(frozen=True)
class SampleOrder:
    """The order of a subset's samples over all epochs, cut into global batches."""

    subset: Subset
    batch: int
    seed: int
    window: int = WINDOW
    others: tuple[Subset, ...] = ()  # of the other sources of a mixture

    @cached_property
    def parts(self) -> tuple[Subset, ...]:
        """The subset of each source."""
        return self.subset, *self.others

    @cached_property
    def samples(self) -> int:
        return sum(self._counts)

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        return tuple(part.samples for part in self.parts)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only; each epoch drops other samples, so every sample is used at times."""
        return self.samples // self.batch

    @property
    def dropped(self) -> int:
        """Samples that an epoch drops, since they do not fill a batch."""
        return self.samples - self.steps_per_epoch * self.batch

    @cached_property
    def streams(self) -> int:
        """One where all samples fit into a window; else the most that divide the batch evenly."""
        if self.samples <= self.window:
            return 1
        return next(n for n in range(min(STREAMS, self.batch), 0, -1) if self.batch % n == 0)

    def locate(
        self, step: int, chosen: Positions | None = None
    ) -> tuple[int, list[SampleLocation]]:
        """Find the epoch of a step and its samples: all, or those at the positions `chosen`."""
        epoch, epoch_step = divmod(step, self.steps_per_epoch)
        chosen = np.arange(self.batch) if chosen is None else chosen
        stream, offset = np.divmod(chosen, self._per_step)
        numbers = np.empty(len(chosen), dtype=np.int64)
        for each in np.unique(stream):
            here = stream == each
            numbers[here] = self._epoch_numbers(epoch, int(each), epoch_step, offset[here])
        return epoch, self._locations(epoch, numbers)

    def window_ranges(self, step: int, stream: int) -> tuple[Window, Iterator[SampleRange]]:
        """Find the window of a stream at a step, and all its samples in the order of the disk."""
        epoch, number, _ = self._window(step)
        return (epoch, number), self._ranges(epoch, *self._bounds(stream, number))

    def remaining_ranges(self, step: int, stream: int) -> tuple[Window, Iterator[SampleRange]]:
        """Find the same as `window_ranges`, without the samples of earlier steps."""
        epoch, number, taken = self._window(step)
        return (epoch, number), self._untaken(epoch, stream, number, taken)

    def streams_of(self, chosen: Positions) -> list[int]:
        """List the streams of these positions of a batch."""
        return [int(stream) for stream in np.unique(chosen // self._per_step)]

    @property
    def steps_per_window(self) -> int:
        """After at most so many steps a stream is in its next window."""
        return max(1, self._width // self._per_step)

    @property
    def _per_step(self) -> int:
        """Samples of each stream in a batch."""
        return self.batch // self.streams

    @property
    def _width(self) -> int:
        """Samples in a window of one stream."""
        return max(self._per_step, self.window // self.streams)

    def _window(self, step: int) -> tuple[int, int, int]:
        """Epoch, number of the window in it, and samples of the window that earlier steps took."""
        epoch, epoch_step = divmod(step, self.steps_per_epoch)
        return epoch, *divmod(epoch_step * self._per_step, self._width)

    def _bounds(self, stream: int, window: int) -> tuple[int, int]:
        """Start and end of the window of a stream, as numbers of samples in the epoch."""
        length = self.steps_per_epoch * self._per_step
        low = window * self._width
        return stream * length + low, stream * length + min(low + self._width, length)

    def _epoch_numbers(
        self, epoch: int, stream: int, epoch_step: int, offset: Positions
    ) -> Positions:
        """Numbers in the epoch of the samples at these offsets in the step's part of a stream."""
        in_stream = epoch_step * self._per_step + offset
        window, in_window = np.divmod(in_stream, self._width)
        numbers = np.empty(len(offset), dtype=np.int64)
        for each in np.unique(window):
            here = window == each
            low, high = self._bounds(stream, int(each))
            shuffled = _shuffled(self.seed, epoch, stream, int(each), high - low)
            numbers[here] = low + shuffled[in_window[here]]
        return numbers

    def _locations(self, epoch: int, numbers: Positions) -> list[SampleLocation]:
        shards, samples = np.empty_like(numbers), np.empty_like(numbers)
        for which, (where, own) in enumerate(split_numbers(self._counts, numbers)):
            part = self.parts[which]
            order, ends, shift = _shard_order(part, self.seed, epoch, which)
            shifted = (own + shift) % part.samples
            at = np.searchsorted(ends, shifted, side="right")
            inside = shifted - np.concatenate([[0], ends])[at]
            shards[where] = part.shard_numbers[order[at]]
            samples[where] = part.sample_numbers(order[at], inside)
        return list(zip(shards.tolist(), samples.tolist(), strict=True))

    def _untaken(self, epoch: int, stream: int, window: int, taken: int) -> Iterator[SampleRange]:
        low, high = self._bounds(stream, window)
        wanted = low + np.sort(_shuffled(self.seed, epoch, stream, window, high - low)[taken:])
        for which, (_, own) in enumerate(split_numbers(self._counts, wanted)):
            for run in np.split(own, np.flatnonzero(np.diff(own) > 1) + 1) if len(own) else ():
                yield from self._part_ranges(which, epoch, int(run[0]), int(run[-1]) + 1)

    def _ranges(self, epoch: int, low: int, high: int) -> Iterator[SampleRange]:
        """Yield the sample ranges of the epoch from `low` to `high`, source after source."""
        for which, (first, end) in enumerate(split_range(self._counts, low, high)):
            yield from self._part_ranges(which, epoch, first, end)

    def _part_ranges(self, which: int, epoch: int, low: int, high: int) -> Iterator[SampleRange]:
        """Yield the same of one source. After its last shard the order goes on with the first."""
        part = self.parts[which]
        order, ends, shift = _shard_order(part, self.seed, epoch, which)
        left, at = high - low, (low + shift) % part.samples
        while left:
            where = int(np.searchsorted(ends, at, side="right"))
            start = int(ends[where - 1]) if where else 0
            take = min(left, int(ends[where]) - at)
            slot = int(order[where])
            yield from _shard_ranges(part, slot, at - start, at - start + take)
            left, at = left - take, (at + take) % part.samples


def _shard_ranges(part: Subset, slot: int, first: int, end: int) -> Iterator[SampleRange]:
    """Yield what to read of a shard, given the first and the last of its taken samples.

    What lies between two taken ones is read with them, but for long gaps in a selection.
    """
    inside = np.array([first, end - 1]) if part.chosen is None else np.arange(first, end)
    samples = part.sample_numbers(np.full(len(inside), slot), inside)
    runs = [samples]
    if part.chosen is not None:
        runs = np.split(samples, np.flatnonzero(np.diff(samples) > _GAP) + 1)
    for run in runs:
        yield part.shards[slot], int(run[0]), int(run[-1]) + 1


def share(batch: int, rank: int, ranks: int, accumulate: int = 1) -> Positions:
    """List the positions of a rank in the global batch: its part of each micro-batch, in order.

    Micro-batch j is the j-th of `accumulate` equal slices of the global batch, on any number of
    ranks; `batch` is a multiple of `ranks * accumulate`.
    """
    whole = np.arange(batch).reshape(accumulate, ranks, -1)
    return whole[:, rank].reshape(-1)


@lru_cache(maxsize=32)
def _shard_order(
    subset: Subset, seed: int, epoch: int, source: int = 0
) -> tuple[Positions, Positions, int]:
    """The shards of an epoch in order, the sample number at which each ends, and a shift.

    Args:
        source: number of the source in a mixture.
    """
    rng = np.random.default_rng((seed, 1, epoch, *((source,) if source else ())))
    order = rng.permutation(len(subset.shards))
    ends = np.cumsum(np.asarray(subset.counts, dtype=np.int64)[order])
    return order, ends, int(rng.integers(subset.samples))


@lru_cache(maxsize=4 * STREAMS)
def _shuffled(seed: int, epoch: int, stream: int, window: int, samples: int) -> Positions:
    return np.random.default_rng((seed, 2, epoch, stream, window)).permutation(samples)
