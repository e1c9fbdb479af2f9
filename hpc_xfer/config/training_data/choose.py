"""Choose the samples of a source that a selection leaves: a pure function of columns and seed.

    left = choose(columns, selection, seed=0, keys=None)
    left.samples        # numbers in the order of the index, ascending

Arrays alone, 8 bytes per sample and column. Of 15 million samples a part of a selection takes up to
11 CPU seconds and 1.0 GB (benchmarks.sharding --samples 15000000).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.training_data.columns import SourceColumns, is_missing
from hpc_xfer.config.training_data.selection import CLASS, SampleSelection
from hpc_xfer.errors import DataError

if TYPE_CHECKING:  # numpy takes 0.1 s, and most studies select nothing
    from numpy.typing import NDArray

# Parts of seeds: the order of shards, of samples in batches and others have 0 to 4.
_OF_SAMPLES, _OF_CLASSES = 5, 6


@dataclass(frozen=True)
class Chosen:
    """The samples that a selection leaves of a source."""

    samples: "NDArray[Any]"  # numbers in the order of the index, ascending
    steps: tuple[tuple[str, int], ...]  # each part of the selection, and how many were left then

    @property
    def told(self) -> str:
        """Say how many samples each part left: `above 0.3 clip_score leaves 812`."""
        return ", ".join(f"{what} leaves {count:,}" for what, count in self.steps)


def choose(
    columns: SourceColumns,
    selection: SampleSelection,
    seed: int,
    keys: "NDArray[Any] | None" = None,
) -> Chosen:
    """Apply a selection, in the order that selection.py tells.

    Args:
        seed: that of the subset; decides classes, and images of a class.
        keys: hashes of the keys of a list, sorted.

    Raises:
        DataError: the source lacks a column, a column does not hold numbers, or a class has too
            few images.
    """
    import numpy as np

    if absent := [name for name in selection.columns if name not in columns.by_name]:
        raise DataError(columns.without(absent))
    left: NDArray[Any] = np.arange(columns.index.samples)
    steps = []
    for what, after in _applied(columns, selection, seed, keys, left):
        left = after
        steps.append((what, len(left)))
    return Chosen(left, tuple(steps))


def _applied(
    columns: SourceColumns,
    selection: SampleSelection,
    seed: int,
    keys: "NDArray[Any] | None",
    left: "NDArray[Any]",
) -> Iterator[tuple[str, "NDArray[Any]"]]:
    """Yield what each part of a selection leaves, one after another."""
    import numpy as np

    if selection.keys is not None:
        assert keys is not None
        left = left[np.isin(columns.hashes(selection.keys.column)[left], keys)]
        yield _alone(keys=selection.keys), left
    for name, value in (selection.above or {}).items():
        left = left[columns.numbers(name)[left] > value]
        yield _alone(above={name: value}), left
    for name, value in (selection.below or {}).items():
        left = left[columns.numbers(name)[left] < value]
        yield _alone(below={name: value}), left
    if selection.best is not None:
        kept = np.ones(len(left), dtype=bool)
        for name, share in selection.best.items():
            kept &= _best(columns.numbers(name)[left], share)
        left = left[kept]
        yield _alone(best=selection.best), left
    if selection.distinct is not None:
        values = columns.values(selection.distinct)[left]
        there = np.flatnonzero(~is_missing(values))
        _, first = np.unique(values[there], return_index=True)
        left = left[np.sort(there[first])]
        yield _alone(distinct=selection.distinct), left
    if selection.per_class is not None:
        left = _per_class(columns, selection, seed, left)
        balance = {"classes": selection.classes, "per_class": selection.per_class}
        yield _alone(**balance), left


def _alone(**part: Any) -> str:
    return SampleSelection(**part).text


def _best(values: "NDArray[Any]", share: float) -> "NDArray[Any]":
    """Mark the share with the highest values; of equal ones the first in the source."""
    import numpy as np

    there = values[~np.isnan(values)]
    count = int(share * len(there) + 0.5)
    if not count:
        return np.zeros(len(values), dtype=bool)
    least = np.partition(there, len(there) - count)[len(there) - count]
    kept: NDArray[Any] = values > least
    equal = np.flatnonzero(values == least)
    kept[equal[: count - np.count_nonzero(kept)]] = True
    return kept


def _per_class(
    columns: SourceColumns, selection: SampleSelection, seed: int, left: "NDArray[Any]"
) -> "NDArray[Any]":
    """Keep the first images of each class in a seeded order of all samples of the source.

    So fewer images of a class are among more of them, and fewer classes among more.
    """
    import numpy as np

    most = selection.per_class
    assert most is not None
    labels = columns.values(CLASS)[left]
    left, labels = left[labels >= 0], labels[labels >= 0]
    if selection.classes is not None:
        chosen = _classes(columns, selection, seed, labels)
        inside = np.isin(labels, chosen)
        left, labels = left[inside], labels[inside]
    rank = np.random.default_rng((seed, _OF_SAMPLES)).permutation(columns.index.samples)[left]
    order = np.lexsort((rank, labels))
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(starts, counts)
    return np.sort(left[order[place < most]])


def _classes(
    columns: SourceColumns, selection: SampleSelection, seed: int, labels: "NDArray[Any]"
) -> "NDArray[Any]":
    """Draw classes by the seed.

    Raises:
        DataError: there are fewer, or one has too few images.
    """
    import numpy as np

    names, wanted, most = columns.index.classes or (), selection.classes, selection.per_class
    assert wanted is not None and most is not None
    folder = columns.index.folder
    if wanted > len(names):
        raise DataError(
            f"{folder}: has {len(names):,} classes, fewer than {wanted:,}; lower classes"
        )
    chosen = np.random.default_rng((seed, _OF_CLASSES)).permutation(len(names))[:wanted]
    counts = np.bincount(labels, minlength=len(names))[chosen]
    if (few := counts < most).any():
        which = int(chosen[few][0])
        raise DataError(
            f"{folder}: {int(few.sum()):,} of the {wanted:,} classes drawn have fewer than "
            f"{most:,} images, the first {names[which]!r} with {int(counts[few][0]):,}; lower "
            "per_class, select less, or change subset_seed"
        )
    return chosen
