"""Which sample stands where: a pure function of (shard sizes, subset, seed, epoch), nothing else.

    subset = Subset.draw(sizes=[1000, 1000, 704], samples=2000, seed=0)
    order = Order(subset, batch=256, seed=0)
    epoch, places = order.locate(step=17)      # 256 of (shard, sample in it), the same on every rank
    share(256, rank=1, ranks=8)            # which of them are a rank's

The number of ranks and workers is no argument of the order: each takes its part of the global
batch. So a run can stop at any step and go on with as many processes as it likes.

Large sources are read in lanes: the samples of an epoch are cut into 32 stretches of equal length,
and each batch takes its 32nd part from every one of them. A rank's part of the batch is whole
lanes, so that it reads its own shards, from front to back, and no others. Inside a lane samples are
shuffled within windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
SampleLocation = tuple[int, int]  # shard, sample in it
SampleRange = tuple[int, int, int]  # shard, first sample, the one after the last
Window = tuple[int, int]  # epoch, number in a lane

# Samples are shuffled inside windows of this many, over all lanes together: at 35 kB a sample they
# are 2.3 GB, which the nodes of a job hold in their page caches. It decides the order: fixed.
WINDOW = 1 << 16
STREAMS = 32  # at most; places of the source that one process reads at, where it reads them all


@dataclass(frozen=True)
class Subset:
    """The first N samples of a seeded order of shards, and of samples in the last of them.

    The smaller is inside the larger.
    """

    shards: tuple[int, ...]  # in order; indices into the source's index
    counts: tuple[int, ...]  # samples taken of each
    sizes: tuple[int, ...]  # samples that each holds
    seed: int

    @classmethod
    def draw(cls, sizes: Sequence[int], samples: int, seed: int) -> "Subset":
        """Raises:
        ValueError: the shards hold fewer than `samples`.
        """
        if samples > sum(sizes):
            raise ValueError(f"{samples:,} samples asked of {sum(sizes):,}")
        order = np.random.default_rng((seed, 0)).permutation(len(sizes))
        shards, counts, left = [], [], samples
        for shard in order:
            if left == 0:
                break
            take = min(left, sizes[shard])
            if take:
                shards.append(int(shard))
                counts.append(take)
            left -= take
        return cls(tuple(shards), tuple(counts), tuple(sizes[s] for s in shards), seed)

    @property
    def samples(self) -> int:
        return sum(self.counts)

    def members(self, which: int) -> Positions:
        """Samples taken of the shard `shards[which]`, ascending as they lie in it."""
        taken, size = self.counts[which], self.sizes[which]
        if taken == size:
            return np.arange(size)
        rng = np.random.default_rng((self.seed, 4, self.shards[which]))
        return np.sort(rng.permutation(size)[:taken])

    def following(self, shard: int, place: int) -> Positions:
        """The members of a shard from `place` on, and around."""
        members = self.members(self.shards.index(shard))
        return np.roll(members, -int(np.searchsorted(members, place)))


@dataclass(frozen=True)
class SampleOrder:
    """The order of a subset's samples over all epochs, cut into global batches."""

    subset: Subset
    batch: int
    seed: int
    window: int = WINDOW

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only; the remainder differs from epoch to epoch, so nothing is left out."""
        return self.subset.samples // self.batch

    @property
    def dropped(self) -> int:
        """Samples that an epoch leaves out, since they fill no batch."""
        return self.subset.samples - self.steps_per_epoch * self.batch

    @cached_property
    def lanes(self) -> int:
        """What fits into one window needs no lanes; else as many as divide the batch evenly."""
        if self.subset.samples <= self.window:
            return 1
        return next(n for n in range(min(STREAMS, self.batch), 0, -1) if self.batch % n == 0)

    def locate(
        self, step: int, chosen: Positions | None = None
    ) -> tuple[int, list[SampleLocation]]:
        """Epoch, and the places of the global batch, or of the `chosen` of its positions."""
        epoch, within = divmod(step, self.steps_per_epoch)
        chosen = np.arange(self.batch) if chosen is None else chosen
        lane, offset = np.divmod(chosen, self._per_step)
        found = np.empty(len(chosen), dtype=np.int64)
        for each in np.unique(lane):
            here = lane == each
            found[here] = self._stream_positions(epoch, int(each), within, offset[here])
        return epoch, self._places(epoch, found)

    def stretches(self, step: int, lane: int) -> tuple[Window, Iterator[SampleRange]]:
        """The window that a lane is in at a step, and all that it holds, as it lies on disk."""
        epoch, number, _ = self._window(step)
        return (epoch, number), self._runs(epoch, *self._bounds(lane, number))

    def rest(self, step: int, lane: int) -> tuple[Window, Iterator[SampleRange]]:
        """As `stretches`, without what earlier steps took of the window."""
        epoch, number, taken = self._window(step)
        return (epoch, number), self._untaken(epoch, lane, number, taken)

    def streams_of(self, chosen: Positions) -> list[int]:
        """The lanes that these positions of a batch are in."""
        return [int(lane) for lane in np.unique(chosen // self._per_step)]

    @property
    def steps_per_window(self) -> int:
        """After so many steps at the latest a lane is in its next window."""
        return max(1, self._width // self._per_step)

    @property
    def _per_step(self) -> int:
        """Samples of each lane in a batch."""
        return self.batch // self.lanes

    @property
    def _width(self) -> int:
        """Samples of a lane's window."""
        return max(self._per_step, self.window // self.lanes)

    def _window(self, step: int) -> tuple[int, int, int]:
        """Epoch, number of a lane's window in it, and how many of its samples came before."""
        epoch, within = divmod(step, self.steps_per_epoch)
        return epoch, *divmod(within * self._per_step, self._width)

    def _bounds(self, lane: int, window: int) -> tuple[int, int]:
        """From where to where in the stream of samples a lane's window reaches."""
        length = self.steps_per_epoch * self._per_step
        low = window * self._width
        return lane * length + low, lane * length + min(low + self._width, length)

    def _stream_positions(self, epoch: int, lane: int, within: int, offset: Positions) -> Positions:
        inside = within * self._per_step + offset
        window, place = np.divmod(inside, self._width)
        found = np.empty(len(offset), dtype=np.int64)
        for each in np.unique(window):
            here = window == each
            low, high = self._bounds(lane, int(each))
            shuffled = _shuffled(self.seed, epoch, lane, int(each), high - low)
            found[here] = low + shuffled[place[here]]
        return found

    def _places(self, epoch: int, stream: Positions) -> list[SampleLocation]:
        order, ends, shift = _stream(self.subset, self.seed, epoch)
        at = (stream + shift) % self.subset.samples
        which = np.searchsorted(ends, at, side="right")
        begins = np.concatenate([[0], ends])[which]
        return [
            (self.subset.shards[slot], self._member(slot, inside))
            for slot, inside in zip(order[which].tolist(), (at - begins).tolist(), strict=True)
        ]

    def _member(self, slot: int, inside: int) -> int:
        if self.subset.counts[slot] == self.subset.sizes[slot]:
            return inside
        return int(_members(self.subset, slot)[inside])

    def _untaken(self, epoch: int, lane: int, window: int, taken: int) -> Iterator[SampleRange]:
        low, high = self._bounds(lane, window)
        wanted = low + np.sort(_shuffled(self.seed, epoch, lane, window, high - low)[taken:])
        for run in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1):
            yield from self._runs(epoch, int(run[0]), int(run[-1]) + 1)

    def _runs(self, epoch: int, low: int, high: int) -> Iterator[SampleRange]:
        """The stream from `low` to `high` as stretches of shards; it is a ring."""
        order, ends, shift = _stream(self.subset, self.seed, epoch)
        left, at = high - low, (low + shift) % self.subset.samples
        while left:
            which = int(np.searchsorted(ends, at, side="right"))
            begin = int(ends[which - 1]) if which else 0
            take = min(left, int(ends[which]) - at)
            slot = int(order[which])
            first, last = at - begin, at - begin + take - 1
            yield (
                self.subset.shards[slot],
                self._member(slot, first),
                self._member(slot, last) + 1,
            )
            left, at = left - take, (at + take) % self.subset.samples


def share(batch: int, rank: int, ranks: int, accumulate: int = 1) -> Positions:
    """Positions of the global batch that are a rank's: its part of each micro-batch, in order.

    Micro-batch j is the j-th of `accumulate` equal slices of the global batch, on any number of
    ranks; `batch` is a multiple of `ranks * accumulate`.
    """
    whole = np.arange(batch).reshape(accumulate, ranks, -1)
    return whole[:, rank].reshape(-1)


@lru_cache(maxsize=4)
def _stream(subset: Subset, seed: int, epoch: int) -> tuple[Positions, Positions, int]:
    """The shards of an epoch in their order, where each ends in the stream, where it begins."""
    rng = np.random.default_rng((seed, 1, epoch))
    order = rng.permutation(len(subset.shards))
    ends = np.cumsum(np.asarray(subset.counts, dtype=np.int64)[order])
    return order, ends, int(rng.integers(subset.samples))


@lru_cache(maxsize=4 * STREAMS)
def _shuffled(seed: int, epoch: int, lane: int, window: int, samples: int) -> Positions:
    return np.random.default_rng((seed, 2, epoch, lane, window)).permutation(samples)


@lru_cache(maxsize=4)
def _members(subset: Subset, which: int) -> Positions:
    return subset.members(which)
