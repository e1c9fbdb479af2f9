"""Which sample stands where: a pure function of (shard sizes, subset, seed, epoch), nothing else.

    subset = Subset.of(sizes=[1000, 1000, 704], samples=2000, seed=0)
    order = Order(subset, batch=256, seed=0)
    order.batch(step=17)           # 256 positions in the subset, the same on every rank
    subset.locate(position)        # (shard, sample in it)

The number of ranks and workers is not an argument: rank r takes its part of the global batch. So a
run can stop at any step and go on with as many processes as it likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

# Samples are shuffled inside windows of this many, shards between windows: at 100 kB a sample a
# window is 6.5 GB of neighbouring bytes, not the whole source. It decides the order: fixed.
WINDOW = 1 << 16


@dataclass(frozen=True)
class Subset:
    """The first N samples of a seeded order of shards: the smaller is inside the larger."""

    shards: tuple[int, ...]  # in order; indices into the source's index
    counts: tuple[int, ...]  # samples taken of each, from its start

    @classmethod
    def of(cls, sizes: Sequence[int], samples: int, seed: int) -> "Subset":
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
        return cls(tuple(shards), tuple(counts))

    @property
    def samples(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Order:
    """The order of a subset's samples over all epochs, cut into global batches."""

    subset: Subset
    batch: int
    seed: int
    window: int = WINDOW

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only; the remainder differs from epoch to epoch, so nothing is left out."""
        return self.subset.samples // self.batch

    def at(self, step: int) -> tuple[int, list[tuple[int, int]]]:
        """Epoch, and (shard, sample in it) of each place of the global batch."""
        epoch, within = divmod(step, self.steps_per_epoch)
        start = within * self.batch
        places = np.concatenate(
            [
                self._window(epoch, w)[max(start - w * self.window, 0) : stop - w * self.window]
                for stop in [start + self.batch]
                for w in range(start // self.window, (stop - 1) // self.window + 1)
            ]
        )
        order, ends = _stream(self.subset, self.seed, epoch)
        which = np.searchsorted(ends, places, side="right")
        begins = np.concatenate([[0], ends])[which]
        shards = np.asarray(self.subset.shards)[order[which]]
        return epoch, list(zip(shards.tolist(), (places - begins).tolist(), strict=True))

    def _window(self, epoch: int, number: int) -> Positions:
        """Shuffled stream positions of one window."""
        low = number * self.window
        high = min(low + self.window, self.subset.samples)
        return _shuffled(self.seed, epoch, number, low, high)


@lru_cache(maxsize=4)
def _stream(subset: Subset, seed: int, epoch: int) -> tuple[Positions, Positions]:
    """The shards of an epoch in their order, and where each ends in the stream of samples."""
    order = np.random.default_rng((seed, 1, epoch)).permutation(len(subset.shards))
    return order, np.cumsum(np.asarray(subset.counts, dtype=np.int64)[order])


@lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, number: int, low: int, high: int) -> Positions:
    return np.random.default_rng((seed, 2, epoch, number)).permutation(np.arange(low, high))
