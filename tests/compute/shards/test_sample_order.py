"""Which sample stands where: a pure function, whatever the shards, ranks and workers."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from hpc_xfer.compute.shards import sample_order
from hpc_xfer.compute.shards.sample_order import SampleOrder, Subset, share

SHARDS = {
    "one": [37],
    "unequal": [10, 1, 25, 7, 14],
    "smaller than a batch": [2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1],
    "some empty": [0, 9, 0, 0, 12, 5, 0],
}
Places = list[tuple[int, int]]


def places(order: SampleOrder, step: int) -> Places:
    return order.locate(step)[1]


def members(subset: Subset) -> set[tuple[int, int]]:
    return {
        (shard, i)
        for which, shard in enumerate(subset.shards)
        for i in subset.members(which).tolist()
    }


@pytest.mark.parametrize("sizes", SHARDS.values(), ids=SHARDS)
def test_a_subset_has_as_many_samples_as_asked_and_lies_in_the_larger(sizes: list[int]) -> None:
    for seed in range(3):
        subsets = [Subset.draw(sizes, n, seed) for n in range(1, sum(sizes) + 1)]
        for n, subset in enumerate(subsets, start=1):
            assert subset.samples == n == len(members(subset))
            assert 0 not in subset.counts
        for small, large in itertools.pairwise(subsets):
            assert members(small) < members(large)
        assert members(subsets[-1]) == {(s, i) for s, n in enumerate(sizes) for i in range(n)}


def test_subsets_of_another_seed_are_another_family() -> None:
    assert Subset.draw([5] * 20, 50, seed=0) != Subset.draw([5] * 20, 50, seed=1)


def test_more_samples_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="1,001 samples asked of 1,000"):
        Subset.draw([400, 600], 1001, seed=0)


@pytest.mark.parametrize("sizes", SHARDS.values(), ids=SHARDS)
@pytest.mark.parametrize("window", [1, 2, 5, 16, 1 << 16])
@pytest.mark.parametrize("batch", [1, 4, 5, 20])
def test_a_sample_comes_at_most_once_in_an_epoch(sizes: list[int], window: int, batch: int) -> None:
    samples = sum(sizes) - 3
    order = SampleOrder(Subset.draw(sizes, samples, seed=0), batch, seed=1, window=window)
    for epoch in range(3):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        seen = Counter(place for step in steps for place in places(order, step))
        assert max(seen.values()) == 1
        assert sum(seen.values()) == samples // batch * batch
        assert seen.keys() <= members(order.subset)
        assert {order.locate(step)[0] for step in steps} == {epoch}


def test_what_one_epoch_leaves_out_another_brings() -> None:
    order = SampleOrder(Subset.draw([10, 11], 21, seed=0), batch=8, seed=0)
    seen = {place for step in range(20) for place in places(order, step)}
    assert seen == members(order.subset)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    subset = Subset.draw([20, 20], 40, seed=0)
    first, second = SampleOrder(subset, 40, seed=0), SampleOrder(subset, 40, seed=1)
    orders = [places(first, 0), places(first, 1), places(second, 0)]
    assert all(sorted(one) == sorted(orders[0]) for one in orders)
    assert all(a != b for a, b in itertools.combinations(orders, 2))


def test_a_rank_reads_its_own_shards_and_hardly_another() -> None:
    """Of 80 shards each of four ranks reads 20 in an epoch, and up to one more at each end."""
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


def test_a_lane_reads_front_to_back_in_windows() -> None:
    """What is shuffled lies close together, so that it can be read ahead in one sweep."""
    order = SampleOrder(Subset.draw([7] * 60, 415, seed=2), batch=8, seed=1, window=80)
    assert order.lanes == 8
    for lane in range(order.lanes):
        seen: dict[tuple[int, int], set[tuple[int, int]]] = {}
        told = {}
        for step in range(order.steps_per_epoch):
            window, stretches = order.stretches(step, lane)
            told[window] = {(s, i) for s, low, high in stretches for i in range(low, high)}
            seen.setdefault(window, set()).update(order.locate(step, np.array([lane]))[1])
        assert list(told) == sorted(told)  # windows come one after another
        for window, places in seen.items():
            assert places <= told[window]
            assert len(told[window]) <= 10 + 7  # what is left out of the last shard lies between


def test_the_rest_of_a_window_is_what_later_steps_take_and_no_more() -> None:
    order = SampleOrder(Subset.draw([7] * 60, 420, seed=2), batch=8, seed=1, window=160)
    for lane in range(order.lanes):
        for step in range(order.steps_per_epoch):
            window, rest = order.rest(step, lane)
            later = range(step, order.steps_per_epoch)
            told = [(s, i) for s, low, high in rest for i in range(low, high)]
            assert sorted(told) == sorted(
                place
                for s in later
                if order.stretches(s, lane)[0] == window
                for place in order.locate(s, np.array([lane]))[1]
            )


def test_little_data_are_shuffled_as_a_whole() -> None:
    order = SampleOrder(Subset.draw([5] * 40, 200, seed=0), batch=10, seed=0, window=200)
    assert order.lanes == 1
    assert max(len({shard for shard, _ in places(order, step)}) for step in range(20)) > 5


@pytest.mark.parametrize("batch", [7, 12, 60])
def test_any_batch_has_lanes(batch: int) -> None:
    order = SampleOrder(Subset.draw([30] * 20, 600, seed=0), batch, seed=0, window=100)
    assert batch % order.lanes == 0
    assert order.streams_of(np.arange(batch)) == list(range(order.lanes))


def test_chosen_places_are_those_of_the_whole_batch() -> None:
    order = SampleOrder(Subset.draw([7, 30, 12, 40], 80, seed=3), batch=6, seed=4, window=16)
    for step in (0, 5, 20):
        whole = places(order, step)
        for chosen in ([0], [5, 1], [2, 3, 4]):
            assert order.locate(step, np.array(chosen))[1] == [whole[i] for i in chosen]


def test_the_part_of_a_shard_is_drawn_and_not_its_beginning() -> None:
    """Shards are often sorted inside; 40 of 100 must not be the first 40."""
    members = Subset.draw([100], 40, seed=0).members(0)
    assert len(set(members.tolist())) == 40
    assert members.max() > 80
    assert Subset.draw([100], 40, seed=1).members(0).tolist() != members.tolist()


def test_what_fills_no_batch_is_counted() -> None:
    assert SampleOrder(Subset.draw([50], 50, seed=0), batch=16, seed=0).dropped == 2


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (4, 1), (1, 3), (2, 6), (4, 3)])
def test_ranks_share_each_micro_batch(ranks: int, accumulate: int) -> None:
    """So that a micro-batch holds the same samples on any number of ranks."""
    shares = [share(24, rank, ranks, accumulate) for rank in range(ranks)]
    for micro in range(accumulate):
        parts = [np.array_split(one, accumulate)[micro] for one in shares]
        size = 24 // accumulate
        assert np.concatenate(parts).tolist() == list(range(micro * size, (micro + 1) * size))


def test_steps_can_be_asked_in_any_order() -> None:
    """No state: what was asked before, and by whom, changes nothing."""
    steps = list(range(60))
    order = SampleOrder(Subset.draw([7, 30, 12], 49, seed=3), batch=6, seed=4, window=8)
    expected = {step: places(order, step) for step in steps}
    random.Random(0).shuffle(steps)
    sample_order._stream.cache_clear()
    sample_order._shuffled.cache_clear()
    again = SampleOrder(Subset.draw([7, 30, 12], 49, seed=3), batch=6, seed=4, window=8)
    assert {step: places(again, step) for step in steps} == expected


def test_the_order_is_pinned() -> None:
    """Should this fail, resumed runs would go on with other samples, and old ids mean new data."""
    order = SampleOrder(Subset.draw([4, 3, 5], 10, seed=0), batch=5, seed=0)
    assert order.subset == Subset(shards=(2, 0, 1), counts=(5, 4, 1), sizes=(5, 4, 3), seed=0)
    assert order.locate(0) == (0, [(1, 1), (2, 3), (2, 4), (2, 1), (2, 2)])
    assert order.locate(3) == (1, [(0, 2), (2, 2), (1, 1), (2, 3), (2, 4)])
    lanes = SampleOrder(Subset.draw([4, 3, 5], 10, seed=0), batch=4, seed=0, window=8)
    assert lanes.locate(1) == (0, [(1, 1), (2, 0), (2, 3), (2, 4)])


def test_shuffling_is_even() -> None:
    """Each sample stands in the first batch about equally often over many epochs."""
    order = SampleOrder(Subset.draw([8, 8], 16, seed=0), batch=4, seed=0)
    first = Counter(
        place for epoch in range(400) for place in places(order, epoch * order.steps_per_epoch)
    )
    counts = np.array([first[place] for place in sorted(members(order.subset))])
    assert len(counts) == 16
    assert abs(counts - 100).max() < 40  # 4.6 standard deviations of a binomial
