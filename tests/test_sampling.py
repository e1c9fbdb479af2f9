"""Which sample stands where: a pure function, whatever the shards, ranks and workers."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from hpc_xfer.data import sampling
from hpc_xfer.data.sampling import Order, Subset

SHARDS = {
    "one": [37],
    "unequal": [10, 1, 25, 7, 14],
    "smaller than a batch": [2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1],
    "some empty": [0, 9, 0, 0, 12, 5, 0],
}
Places = list[tuple[int, int]]


def places(order: Order, step: int) -> Places:
    return order.at(step)[1]


def members(subset: Subset) -> set[tuple[int, int]]:
    return {
        (shard, i)
        for shard, count in zip(subset.shards, subset.counts, strict=True)
        for i in range(count)
    }


@pytest.mark.parametrize("sizes", SHARDS.values(), ids=SHARDS)
def test_a_subset_has_as_many_samples_as_asked_and_lies_in_the_larger(sizes: list[int]) -> None:
    for seed in range(3):
        subsets = [Subset.of(sizes, n, seed) for n in range(1, sum(sizes) + 1)]
        for n, subset in enumerate(subsets, start=1):
            assert subset.samples == n == len(members(subset))
            assert 0 not in subset.counts
        for small, large in itertools.pairwise(subsets):
            assert members(small) < members(large)
        assert members(subsets[-1]) == {(s, i) for s, n in enumerate(sizes) for i in range(n)}


def test_subsets_of_another_seed_are_another_family() -> None:
    assert Subset.of([5] * 20, 50, seed=0) != Subset.of([5] * 20, 50, seed=1)


def test_more_samples_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="1,001 samples asked of 1,000"):
        Subset.of([400, 600], 1001, seed=0)


@pytest.mark.parametrize("sizes", SHARDS.values(), ids=SHARDS)
@pytest.mark.parametrize("window", [1, 2, 5, 16, 1 << 16])
@pytest.mark.parametrize("batch", [1, 4, 5, 20])
def test_a_sample_comes_at_most_once_in_an_epoch(sizes: list[int], window: int, batch: int) -> None:
    samples = sum(sizes) - 3
    order = Order(Subset.of(sizes, samples, seed=0), batch, seed=1, window=window)
    for epoch in range(3):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        seen = Counter(place for step in steps for place in places(order, step))
        assert max(seen.values()) == 1
        assert sum(seen.values()) == samples // batch * batch
        assert seen.keys() <= members(order.subset)
        assert {order.at(step)[0] for step in steps} == {epoch}


def test_what_one_epoch_leaves_out_another_brings() -> None:
    order = Order(Subset.of([10, 11], 21, seed=0), batch=8, seed=0)
    seen = {place for step in range(20) for place in places(order, step)}
    assert seen == members(order.subset)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    subset = Subset.of([20, 20], 40, seed=0)
    first, second = Order(subset, 40, seed=0), Order(subset, 40, seed=1)
    orders = [places(first, 0), places(first, 1), places(second, 0)]
    assert all(sorted(one) == sorted(orders[0]) for one in orders)
    assert all(a != b for a, b in itertools.combinations(orders, 2))


def test_a_window_holds_neighbours_and_no_more() -> None:
    """A window of 10 reads at most the shards that hold these 10, however many there are."""
    order = Order(Subset.of([5] * 40, 200, seed=0), batch=10, seed=0, window=10)
    for step in range(20):
        assert len({shard for shard, _ in places(order, step)}) == 2
    wide = Order(Subset.of([5] * 40, 200, seed=0), batch=10, seed=0, window=200)
    assert max(len({shard for shard, _ in places(wide, step)}) for step in range(20)) > 5


def test_steps_can_be_asked_in_any_order() -> None:
    """No state: what was asked before, and by whom, changes nothing."""
    steps = list(range(60))
    order = Order(Subset.of([7, 30, 12], 49, seed=3), batch=6, seed=4, window=8)
    expected = {step: places(order, step) for step in steps}
    random.Random(0).shuffle(steps)
    sampling._stream.cache_clear()
    sampling._shuffled.cache_clear()
    again = Order(Subset.of([7, 30, 12], 49, seed=3), batch=6, seed=4, window=8)
    assert {step: places(again, step) for step in steps} == expected


def test_the_order_is_pinned() -> None:
    """Should this fail, resumed runs would go on with other samples, and old ids mean new data."""
    order = Order(Subset.of([4, 3, 5], 10, seed=0), batch=5, seed=0)
    assert order.subset == Subset(shards=(2, 0, 1), counts=(5, 4, 1))
    assert order.at(0) == (0, [(0, 2), (2, 1), (2, 0), (1, 0), (2, 4)])
    assert order.at(3) == (1, [(2, 0), (1, 0), (2, 4), (2, 3), (0, 1)])


def test_shuffling_is_even() -> None:
    """Each sample stands in the first batch about equally often over many epochs."""
    order = Order(Subset.of([8, 8], 16, seed=0), batch=4, seed=0)
    first = Counter(
        place for epoch in range(400) for place in places(order, epoch * order.steps_per_epoch)
    )
    counts = np.array([first[place] for place in sorted(members(order.subset))])
    assert len(counts) == 16
    assert abs(counts - 100).max() < 40  # 4.6 standard deviations of a binomial
