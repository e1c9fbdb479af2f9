"""Interleave the samples of several sources in one order, with their shares in every part of it.

Number n of the order belongs to the first source where floor(n * c / N) grows by one after it: c
is the number of its samples, N that of all. What is left is shared among the others likewise. So
any run of numbers has each source's share of them, to within one sample per source, and a run of
numbers is one run of each source's own numbers. Nothing is stored.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
_LARGEST = 3_000_000_000  # samples; products of two counts fit 64 bits up to here


def split_numbers(counts: Sequence[int], numbers: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield for each source where `numbers` are its own, and which of its own numbers these are.

    Args:
        counts: samples of each source.
        numbers: in the common order, from 0 to the sum of the counts.
    """
    where, left, total = np.arange(len(numbers)), numbers, sum(counts)
    for count in counts[:-1]:
        before, after = _share(left, count, total), _share(left + 1, count, total)
        mine = after > before
        yield where[mine], before[mine]
        where, left, total = where[~mine], (left - before)[~mine], total - count
    yield where, left


def split_range(counts: Sequence[int], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield for each source the range of its own numbers within a range of the common order."""
    total = sum(counts)
    for count in counts[:-1]:
        mine = low * count // total, high * count // total
        yield mine
        low, high, total = low - mine[0], high - mine[1], total - count
    yield low, high


def _share(numbers: Numbers, count: int, total: int) -> Numbers:
    if total > _LARGEST:  # with integers of any size, which are slower
        return (numbers.astype(object) * count // total).astype(np.int64)
    return numbers * count // total
