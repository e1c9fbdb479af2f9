"""Samples of several sources in one order: exact shares in every part of it."""

from collections.abc import Sequence

import numpy as np
import pytest

from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.interleaving import split_numbers, split_range
from hpc_xfer.compute.shards.subsets.subset import ChosenSamples, Subset

COUNTS = ([7], [3, 5], [1, 2, 9], [4, 4, 4, 1], [5, 1])


def sources(counts: Sequence[int]) -> list[int]:
    """The source of each number of the order."""
    found = np.full(sum(counts), -1)
    for source, (where, own) in enumerate(split_numbers(counts, np.arange(sum(counts)))):
        assert own.tolist() == [*range(counts[source])]
        found[where] = source
    return [int(each) for each in found]


@pytest.mark.parametrize("counts", COUNTS)
def test_each_run_of_numbers_is_one_run_in_each_source(counts: Sequence[int]) -> None:
    order = sources(counts)
    for low in range(len(order)):
        for high in range(low, len(order) + 1):
            for source, (first, end) in enumerate(split_range(counts, low, high)):
                assert first == order[:low].count(source)
                assert end - first == order[low:high].count(source)


@pytest.mark.parametrize("counts", COUNTS)
def test_each_run_of_numbers_has_the_shares_of_the_whole(counts: Sequence[int]) -> None:
    order = sources(counts)
    for high in range(len(order) + 1):
        for source, count in enumerate(counts):
            share = high * count / len(order)
            assert abs(order[:high].count(source) - share) <= len(counts)


def test_billions_of_samples_are_split_exactly() -> None:
    counts = [5_000_000_019, 3_000_000_007]
    numbers = np.array([0, 7_999_999_999, sum(counts) - 1])
    mine, others = split_numbers(counts, numbers)
    assert others[1][-1] == counts[1] - 1 or mine[1][-1] == counts[0] - 1
    assert len(mine[0]) + len(others[0]) == 3


def members(subset: Subset) -> set[tuple[int, int]]:
    every = enumerate(subset.shards)
    return {(shard, i) for which, shard in every for i in subset.members(which).tolist()}


def mixture(samples: int = 300, window: int = 80) -> SampleOrder:
    """Half of two sources, one of 30 shards of 7 samples and one of 20 of 10."""
    one = Subset.draw([7] * 30, samples // 2, seed=2)
    two = Subset.draw([10] * 20, samples // 2, seed=2, first_shard=30)
    return SampleOrder(one, batch=20, seed=1, window=window, others=(two,))


def test_an_epoch_of_a_mixture_has_each_sample_of_each_source_once() -> None:
    order = mixture()
    steps = range(order.steps_per_epoch)
    seen = [location for step in steps for location in order.locate(step)[1]]
    assert len(set(seen)) == len(seen) == 300
    alone = Subset.draw([10] * 20, 150, seed=2)
    assert {(shard - 30, i) for shard, i in seen if shard >= 30} == members(alone)


def test_batches_of_a_mixture_have_about_its_shares() -> None:
    order = mixture()
    for step in range(30):
        first = sum(shard < 30 for shard, _ in order.locate(step)[1])
        assert 3 <= first <= 17  # of 20


def test_windows_of_a_mixture_are_read_from_all_of_its_sources() -> None:
    """Every sample that a step needs is in the ranges that are read ahead for it."""
    order = mixture()
    for step in (0, 3, 11, 14, 20):
        needed = set(order.locate(step)[1])
        for find in (order.window_ranges, order.remaining_ranges):
            ranges = [r for stream in range(order.streams) for r in find(step, stream)[1]]
            read = {(shard, i) for shard, first, end in ranges for i in range(first, end)}
            assert needed <= read


def test_chosen_samples_are_drawn_and_nothing_else() -> None:
    chosen = ChosenSamples(np.array([3, 900, 5, 6, 7, 40], np.int32), np.array([0, 2, 2, 6]))
    small = Subset.draw(chosen.sizes, 4, seed=0, chosen=chosen)
    whole = Subset.draw(chosen.sizes, 6, seed=0, chosen=chosen)

    assert members(whole) == {(0, 3), (0, 900), (2, 5), (2, 6), (2, 7), (2, 40)}
    assert members(small) < members(whole)
    order = SampleOrder(whole, batch=2, seed=0)
    assert {each for step in range(3) for each in order.locate(step)[1]} == members(whole)
    ranges = sorted(order.window_ranges(0, 0)[1])
    assert ranges == [(0, 3, 4), (0, 900, 901), (2, 5, 8), (2, 40, 41)]


def test_a_broken_sample_finds_a_neighbor_where_a_shard_has_one_chosen_sample() -> None:
    chosen = ChosenSamples(np.array([8, 3, 5], np.int32), np.array([0, 1, 2, 3]))
    subset = Subset.draw(chosen.sizes, 3, seed=0, chosen=chosen)
    found = [*subset.following(subset.shards[0], subset.members(0).tolist()[0])]
    assert sorted(found) == [(0, 8), (1, 3), (2, 5)]
