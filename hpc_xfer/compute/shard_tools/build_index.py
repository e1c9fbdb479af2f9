"""Index the shards of a folder: many processes read each of them once.

report = index_folder(folder, workers=8)
report.index, report.warnings

A shard is hashed from front to back first, at 1 GB/s or the speed of the disk; its headers,
captions and labels are then in the page cache.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from hpc_xfer.compute.shard_tools import img2dataset
from hpc_xfer.compute.shard_tools.source_index import join_scans, scan_shard
from hpc_xfer.compute.shard_tools.source_index.index_columns import WantedColumns, keys_of
from hpc_xfer.compute.shard_tools.source_index.scan_shard import ShardScan
from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_files import listing, shard_patterns
from hpc_xfer.config.shard_files.oddity import NO_SAMPLE
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.training_data.columns import load
from hpc_xfer.errors import DataError
from hpc_xfer.system import process_pool
from hpc_xfer.system.terminal import ProgressCallback

T = TypeVar("T")
Result = TypeVar("Result")


@dataclass(frozen=True)
class IndexReport:
    """The index that was written, and warnings about the shards."""

    index: ShardIndex
    warnings: tuple[str, ...]


def index_folder(
    place: Path,
    workers: int = 1,
    label_key: str | None = None,
    progress: ProgressCallback | None = None,
    columns: WantedColumns | None = None,
) -> IndexReport:
    """Read every shard of a folder once and write its index.

    Class names come from `classes.json` beside the shards, else from the labels themselves. What
    is odd in samples is counted; the index keeps the counts.

    Args:
        place: a folder, or a pattern of shards (shard_files/shard_patterns.py); the index then lies
            in the folder before its first brace or star.
        label_key: the key in the json of samples with class numbers or names. None: use cls.
        progress: called with shards done and shards in all.
        columns: to write beside the index; None leaves those that are there.

    Raises:
        DataError: no shards, a broken shard, a shard of a brace list that is not there, or no
            sample has a label under `label_key`.
    """
    folder, pattern, shards = _find(place)
    if columns is not None and columns.read_keys_alone():
        index_there = _current_index(folder, pattern, label_key)
        if index_there is not None:
            told = columns.write(index_there, keys_of(index_there))
            return IndexReport(index_there, tuple(told))
    before = _index_before(folder)
    names = list(shards)
    read = partial(scan_shard.scan, folder, label_key, columns.of_samples() if columns else ())
    scans = _without_errors(each_shard(read, names, workers, progress))
    classes = join_scans.find_classes(folder, scans, label_key)
    counted = [*join_scans.count_oddities(scans), *classes.bad]
    index = _joined(folder, pattern, label_key, scans, classes, counted)
    shard_index.write(index)
    sample_index_cache.remove_stale(index)
    in_columns = columns.write(index, [scan.columns for scan in scans]) if columns else []
    warnings = (
        *_replaced(before, index),
        *(each.sentence(folder) for each in listing.unused(folder, names, pattern)),
        *(each.sentence(index) for each in counted),
        *_warnings(index, scans),
        *(in_columns if columns else _stale_columns(index)),
    )
    return IndexReport(index, warnings)


def _joined(
    folder: Path,
    pattern: str | None,
    label_key: str | None,
    scans: Sequence[ShardScan],
    classes: join_scans.Classes,
    counted: Sequence[join_scans.InShards],
) -> ShardIndex:
    """Make the index of a folder from what its shards hold."""
    empty = () if classes.without_samples is None else (classes.without_samples,)
    texts = Counter[str]()
    for scan in scans:
        texts.update(scan.texts)
    return ShardIndex(
        folder,
        tuple(scan.entry for scan in scans),
        _all(scan.fields for scan in scans),
        classes.names,
        label_key,
        _all(scan.json_keys for scan in scans),
        pattern,
        (*(each.oddity for each in counted), *empty),
        tuple(sorted(texts.items())) if len(texts) < scan_shard.MOST_KEYS else (),
    )


def _stale_columns(index: ShardIndex) -> Iterator[str]:
    """Tell that columns of other shards are there, which nothing will use."""
    try:
        load(index)
    except DataError as error:
        yield str(error)


def _find(place: Path) -> tuple[Path, str | None, dict[str, int]]:
    """Find the shards of a folder or pattern.

    Raises:
        DataError: there are none, or some of a brace list are not there.
    """
    folder, pattern = shard_patterns.folder_and_pattern(place)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; correct the path")
    shard_index.refuse_unfinished(folder)
    if pattern is not None and (absent := shard_patterns.absent(folder, pattern)):
        one = len(absent) == 1
        which = "the one shard" if one else f"one of {len(absent):,} shards"
        raise DataError(
            f"{folder / absent[0]}: is {which} that {pattern!r} names and that "
            f"{'is' if one else 'are'} not there; bring {'it' if one else 'them'} back or correct "
            "the pattern"
        )
    shards = shard_index.list_shards(folder, pattern)
    if not shards and pattern is not None:
        raise DataError(f"{place}: names no shards; correct the pattern")
    if not shards:
        raise DataError(listing.no_shards(folder, "correct the path"))
    return folder, pattern, shards


def _current_index(folder: Path, pattern: str | None, label_key: str | None) -> ShardIndex | None:
    """Load the index, if it is of the shards that are there now."""
    try:
        index = ShardIndex.load(folder)
    except DataError:
        return None
    return index if (index.pattern, index.label_key) == (pattern, label_key) else None


def _index_before(folder: Path) -> ShardIndex | None:
    try:
        return shard_index.parse(folder)
    except DataError:
        return None


def _replaced(before: ShardIndex | None, index: ShardIndex) -> Iterator[str]:
    """Tell that an index of other shards was replaced: there is one index in a folder."""
    if before is not None and before.pattern != index.pattern:
        of = "the whole folder" if before.pattern is None else f"the pattern {before.pattern!r}"
        yield (
            f"{index.folder / shard_index.NAME}: was of {of} ({len(before.entries):,} shards), and "
            "is replaced; link the shards of a second source into a folder of their own"
        )


def _all(each: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({name for names in each for name in names}))


def each_shard(
    function: Callable[[T], Result],
    shards: Sequence[T],
    workers: int,
    progress: ProgressCallback | None,
) -> list[Result]:
    """Apply a function to every shard in many processes; the results come in the same order."""
    found: dict[int, Result] = {}
    if progress and shards:
        progress(0, len(shards))
    for number, result in process_pool.results(function, shards, workers):
        found[number] = result
        if progress:
            progress(len(found), len(shards))
    return [found[number] for number in range(len(shards))]


def _without_errors(found: Sequence[ShardScan | DataError]) -> list[ShardScan]:
    errors = [each for each in found if isinstance(each, DataError)]
    if errors:
        more = f"; {len(errors) - 1} more shards are broken" if len(errors) > 1 else ""
        raise DataError(f"{errors[0]}{more}") from errors[0]
    return [each for each in found if isinstance(each, ShardScan)]


def _warnings(index: ShardIndex, scans: Sequence[ShardScan]) -> Iterator[str]:
    names = [scan.entry.name for scan in scans]
    for each in index.oddities:
        if each.what == NO_SAMPLE:
            yield each.sentence(index.samples, len(index.classes or ()))
    if empty := [scan.entry.name for scan in scans if not scan.entry.samples]:
        yield f"no samples: in {len(empty):,} of {len(scans):,} shards, the first {empty[0]}"
    if twice := shard_index.repeated(index):
        yield twice
    for scan in scans:
        if scan.count_problem:
            yield f"{scan.entry.name}: {scan.count_problem}"
    for name in img2dataset.shards_without_stats(index.folder, names):
        stats = f"{Path(name).stem}_stats.json"
        yield f"{name}: has no {stats} beside it, as others do; it may be incomplete"
