"""Draw the samples of a source for a pre-training: a nested family of subsets.

subset = Subset.draw(sizes=[1000, 1000, 704], samples=2000, seed=0)
chosen = ChosenSamples(samples, starts)      # what a selection leaves
subset = Subset.draw(chosen.sizes, samples=500, seed=0, chosen=chosen)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
SampleLocation = tuple[int, int]  # shard, sample in it


@dataclass(frozen=True, eq=False)
class ChosenSamples:
    """The samples of a source that a selection leaves, shard by shard in ascending order."""

    samples: NDArray[np.int32]  # numbers in their shards
    starts: Positions  # where each shard begins in `samples`; one more entry holds the end

    @property
    def sizes(self) -> list[int]:
        """Number of chosen samples in each shard."""
        sizes: list[int] = np.diff(self.starts).tolist()
        return sizes


@dataclass(frozen=True)
class Subset:
    """The first N samples of a seeded order of shards; part of the last shard, chosen at random.

    A smaller subset is inside a larger one of the same seed. Where a selection has left only some
    samples, counts and sizes are of these.
    """

    shards: tuple[int, ...]  # numbers in the shard index, in order
    counts: tuple[int, ...]  # samples taken from each
    sizes: tuple[int, ...]  # samples in each
    seed: int
    chosen: ChosenSamples | None = None  # None: all samples of the source
    first_shard: int = 0  # of this source, where shards of several sources are numbered on

    @classmethod
    def draw(
        cls,
        sizes: Sequence[int],
        samples: int,
        seed: int,
        chosen: ChosenSamples | None = None,
        first_shard: int = 0,
    ) -> "Subset":
        """Draw `samples` samples from shards of these sizes.

        Args:
            chosen: the samples to draw from; `sizes` is then `chosen.sizes`.
            first_shard: is added to the numbers of shards.

        Raises:
            ValueError: the shards hold fewer.
        """
        if samples > sum(sizes):
            raise ValueError(f"{samples:,} samples requested, but there are {sum(sizes):,}")
        order = np.random.default_rng((seed, 0)).permutation(len(sizes)).tolist()
        shards, counts, left = [], [], samples
        for shard in order:
            if left == 0:
                break
            take = min(left, sizes[shard])
            if take:
                shards.append(shard)
                counts.append(take)
            left -= take
        numbers = tuple(first_shard + shard for shard in shards)
        taken = tuple(sizes[shard] for shard in shards)
        return cls(numbers, tuple(counts), taken, seed, chosen, first_shard)

    @property
    def samples(self) -> int:
        return sum(self.counts)

    def members(self, which: int) -> Positions:
        """The samples taken from the shard `shards[which]`, in ascending order."""
        return self.sample_numbers(
            np.full(self.counts[which], which), np.arange(self.counts[which])
        )

    def following(self, shard: int, sample: int) -> Iterator[SampleLocation]:
        """Yield all samples taken from a shard: those from `sample` on, then those before it.

        Where samples were chosen, a shard may have only one. So the next shards follow.
        """
        which = self.shards.index(shard)
        members = self.members(which)
        for each in np.roll(members, -int(np.searchsorted(members, sample))).tolist():
            yield shard, each
        later = range(which + 1, which + len(self.shards)) if self.chosen is not None else ()
        for each in (number % len(self.shards) for number in later):
            yield from ((self.shards[each], member) for member in self.members(each).tolist())

    def sample_numbers(self, slots: Positions, inside: Positions) -> Positions:
        """Return the numbers of samples in their shards.

        Args:
            slots: the shards, as places in `shards`.
            inside: place of each sample among the taken ones of its shard.
        """
        for slot in self._partial:
            if (here := slots == slot).any():
                inside = np.where(here, self._drawn(slot)[np.where(here, inside, 0)], inside)
        if self.chosen is None:
            return inside
        shards = self.shard_numbers[slots] - self.first_shard
        numbers: Positions = self.chosen.samples[self.chosen.starts[shards] + inside]
        return numbers.astype(np.int64)

    @cached_property
    def shard_numbers(self) -> Positions:
        return np.asarray(self.shards, dtype=np.int64)

    @cached_property
    def _partial(self) -> tuple[int, ...]:
        """Shards of which only a part is taken: at most the last."""
        pairs = enumerate(zip(self.counts, self.sizes, strict=True))
        return tuple(slot for slot, (taken, size) in pairs if taken < size)

    def _drawn(self, slot: int) -> Positions:
        number = self.shards[slot] - self.first_shard
        return _drawn(self.seed, number, self.sizes[slot], self.counts[slot])


@lru_cache(maxsize=16)
def _drawn(seed: int, shard: int, size: int, taken: int) -> Positions:
    """The places of the samples that are taken from a shard of which not all are."""
    return np.sort(np.random.default_rng((seed, 4, shard)).permutation(size)[:taken])
