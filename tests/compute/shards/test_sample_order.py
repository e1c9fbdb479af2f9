"""The order of samples: a pure function of the seed, for any shards, ranks and workers."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from hpc_xfer.compute.shards.sample_order import SampleOrder, share
from hpc_xfer.compute.shards.subsets.subset import Subset

SHARDS = {
    "one": [37],
    "unequal": [10, 1, 25, 7, 14],
    "smaller than a batch": [2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1],
    "some empty": [0, 9, 0, 0, 12, 5, 0],
}
Locations = list[tuple[int, int]]


def locations(order: SampleOrder, step: int) -> Locations:
    return order.locate(step)[1]


def members(subset: Subset) -> set[tuple[int, int]]:
    return {
        (shard, i)
        for which, shard in enumerate(subset.shards)
        for i in subset.members(which).tolist()
    }


@pytest.mark.parametrize("sizes", SHARDS.values(), ids=SHARDS)
def test_a_subset_has_the_requested_size_and_is_inside_the_larger_ones(sizes: list[int]) -> None:
    for seed in range(3):
        subsets = [Subset.draw(sizes, n, seed) for n in range(1, sum(sizes) + 1)]
        for n, subset in enumerate(subsets, start=1):
            assert subset.samples == n == len(members(subset))
            assert 0 not in subset.counts
        for small, large in itertools.pairwise(subsets):
            assert members(small) < members(large)
        assert members(subsets[-1]) == {(s, i) for s, n in enumerate(sizes) for i in range(n)}


def test_another_seed_gives_other_subsets() -> None:
    assert Subset.draw([5] * 20, 50, seed=0) != Subset.draw([5] * 20, 50, seed=1)


def test_more_samples_than_the_shards_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="1,001 samples requested, but there are 1,000"):
        Subset.draw([400, 600], 1001, seed=0)


@pytest.mark.parametrize("sizes", SHARDS.values(), ids=SHARDS)
@pytest.mark.parametrize("window", [1, 2, 5, 16, 1 << 16])
@pytest.mark.parametrize("batch", [1, 4, 5, 20])
def test_a_sample_occurs_at_most_once_in_an_epoch(
    sizes: list[int], window: int, batch: int
) -> None:
    samples = sum(sizes) - 3
    order = SampleOrder(Subset.draw(sizes, samples, seed=0), batch, seed=1, window=window)
    for epoch in range(3):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        seen = Counter(place for step in steps for place in locations(order, step))
        assert max(seen.values()) == 1
        assert sum(seen.values()) == samples // batch * batch
        assert seen.keys() <= members(order.subset)
        assert {order.locate(step)[0] for step in steps} == {epoch}


def test_a_sample_that_one_epoch_drops_occurs_in_another() -> None:
    order = SampleOrder(Subset.draw([10, 11], 21, seed=0), batch=8, seed=0)
    seen = {place for step in range(20) for place in locations(order, step)}
    assert seen == members(order.subset)


def test_each_epoch_and_seed_has_an_order_of_its_own() -> None:
    subset = Subset.draw([20, 20], 40, seed=0)
    first, second = SampleOrder(subset, 40, seed=0), SampleOrder(subset, 40, seed=1)
    orders = [locations(first, 0), locations(first, 1), locations(second, 0)]
    assert all(sorted(one) == sorted(orders[0]) for one in orders)
    assert all(a != b for a, b in itertools.combinations(orders, 2))


def test_a_rank_reads_its_own_shards_and_few_others() -> None:
    """Each of four ranks reads 20 of 80 shards in an epoch, and at most one more at each end."""
    ranks, shards = 4, 80
    order = SampleOrder(
        Subset.draw([50] * shards, 50 * shards, seed=0), batch=40, seed=0, window=400
    )
    read: list[set[int]] = []
    for rank in range(ranks):
        chosen = share(40, rank, ranks)
        steps = range(order.steps_per_epoch)
        read.append({shard for step in steps for shard, _ in order.locate(step, chosen)[1]})
    assert all(20 <= len(one) <= 22 for one in read)
    assert set.union(*read) == set(range(shards))


def test_a_stream_is_read_from_front_to_back_in_windows() -> None:
    """Samples that are shuffled lie close together, so they can be read ahead in one sweep."""
    order = SampleOrder(Subset.draw([7] * 60, 415, seed=2), batch=8, seed=1, window=80)
    assert order.streams == 8
    for stream in range(order.streams):
        taken: dict[tuple[int, int], set[tuple[int, int]]] = {}
        in_window = {}
        for step in range(order.steps_per_epoch):
            window, ranges = order.window_ranges(step, stream)
            in_window[window] = {(s, i) for s, low, high in ranges for i in range(low, high)}
            taken.setdefault(window, set()).update(order.locate(step, np.array([stream]))[1])
        assert list(in_window) == sorted(in_window)  # one window after another
        for window, found in taken.items():
            assert found <= in_window[window]
            assert len(in_window[window]) <= 10 + 7  # and those dropped from the last shard


def test_the_remaining_ranges_of_a_window_hold_the_samples_of_later_steps_alone() -> None:
    order = SampleOrder(Subset.draw([7] * 60, 420, seed=2), batch=8, seed=1, window=160)
    for stream in range(order.streams):
        for step in range(order.steps_per_epoch):
            window, ranges = order.remaining_ranges(step, stream)
            later = range(step, order.steps_per_epoch)
            remaining = [(s, i) for s, low, high in ranges for i in range(low, high)]
            assert sorted(remaining) == sorted(
                location
                for s in later
                if order.window_ranges(s, stream)[0] == window
                for location in order.locate(s, np.array([stream]))[1]
            )


def test_a_small_source_is_shuffled_as_a_whole() -> None:
    order = SampleOrder(Subset.draw([5] * 40, 200, seed=0), batch=10, seed=0, window=200)
    assert order.streams == 1
    assert max(len({shard for shard, _ in locations(order, step)}) for step in range(20)) > 5


@pytest.mark.parametrize("batch", [7, 12, 60])
def test_the_streams_divide_any_batch_evenly(batch: int) -> None:
    order = SampleOrder(Subset.draw([30] * 20, 600, seed=0), batch, seed=0, window=100)
    assert batch % order.streams == 0
    assert order.streams_of(np.arange(batch)) == list(range(order.streams))


def test_chosen_positions_give_the_samples_of_the_whole_batch() -> None:
    order = SampleOrder(Subset.draw([7, 30, 12, 40], 80, seed=3), batch=6, seed=4, window=16)
    for step in (0, 5, 20):
        whole = locations(order, step)
        for chosen in ([0], [5, 1], [2, 3, 4]):
            assert order.locate(step, np.array(chosen))[1] == [whole[i] for i in chosen]


def test_a_part_of_a_shard_is_drawn_at_random() -> None:
    """Shards are often sorted: 40 of 100 samples must not be the first 40."""
    members = Subset.draw([100], 40, seed=0).members(0)
    assert len(set(members.tolist())) == 40
    assert members.max() > 80
    assert Subset.draw([100], 40, seed=1).members(0).tolist() != members.tolist()


def test_samples_that_do_not_fill_a_batch_are_counted() -> None:
    assert SampleOrder(Subset.draw([50], 50, seed=0), batch=16, seed=0).dropped == 2


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (4, 1), (1, 3), (2, 6), (4, 3)])
def test_ranks_share_each_micro_batch(ranks: int, accumulate: int) -> None:
    """A micro-batch holds the same samples on any number of ranks."""
    shares = [share(24, rank, ranks, accumulate) for rank in range(ranks)]
    for micro in range(accumulate):
        parts = [np.array_split(one, accumulate)[micro] for one in shares]
        size = 24 // accumulate
        assert np.concatenate(parts).tolist() == list(range(micro * size, (micro + 1) * size))


def test_steps_can_be_located_in_any_order() -> None:
    """No state: 8 epochs and 384 windows do not fit into the caches."""
    steps = list(range(60))
    order = SampleOrder(Subset.draw([7, 30, 12], 49, seed=3), batch=6, seed=4, window=8)
    expected = {step: locations(order, step) for step in steps}
    random.Random(0).shuffle(steps)
    again = SampleOrder(Subset.draw([7, 30, 12], 49, seed=3), batch=6, seed=4, window=8)
    assert {step: locations(again, step) for step in steps} == expected


def test_the_order_is_pinned() -> None:
    """If this fails, resumed runs continue with other samples, and old run ids mean new data."""
    order = SampleOrder(Subset.draw([4, 3, 5], 10, seed=0), batch=5, seed=0)
    assert order.subset == Subset(shards=(2, 0, 1), counts=(5, 4, 1), sizes=(5, 4, 3), seed=0)
    assert order.locate(0) == (0, [(1, 1), (2, 3), (2, 4), (2, 1), (2, 2)])
    assert order.locate(3) == (1, [(0, 2), (2, 2), (1, 1), (2, 3), (2, 4)])
    in_streams = SampleOrder(Subset.draw([4, 3, 5], 10, seed=0), batch=4, seed=0, window=8)
    assert in_streams.locate(1) == (0, [(1, 1), (2, 0), (2, 3), (2, 4)])


def test_shuffling_is_even() -> None:
    """Over many epochs each sample is in the first batch about equally often."""
    order = SampleOrder(Subset.draw([8, 8], 16, seed=0), batch=4, seed=0)
    first = Counter(
        place for epoch in range(400) for place in locations(order, epoch * order.steps_per_epoch)
    )
    counts = np.array([first[place] for place in sorted(members(order.subset))])
    assert len(counts) == 16
    assert abs(counts - 100).max() < 40  # 4.6 standard deviations of a binomial
