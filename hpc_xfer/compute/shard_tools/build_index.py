"""Index the shards of a folder: many processes read each of them once.

report = index_folder(folder, workers=8)
report.index, report.warnings

A shard is hashed from front to back first, at 1 GB/s or the speed of the disk; its headers,
captions and labels are then in the page cache.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hpc_xfer.compute.shard_tools import class_names, img2dataset
from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import IMAGE_FIELDS, ShardEntry, ShardIndex
from hpc_xfer.errors import DataError
from hpc_xfer.system import process_pool
from hpc_xfer.system.terminal import ProgressCallback

T = TypeVar("T")
Result = TypeVar("Result")
_JSON_SAMPLES = 16  # samples of each shard whose json keys are listed
_FIELDS_BESIDE_IMAGES = ("txt", "json", "cls")


@dataclass(frozen=True)
class IndexReport:
    """The index that was written, and warnings about the shards."""

    index: ShardIndex
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _ShardScan:
    """Contents of one shard."""

    entry: ShardEntry
    fields: frozenset[str]
    labels: frozenset[str] | int | None  # names, or the highest number; None: no labels
    json_keys: frozenset[str]
    oddities: tuple[tuple[str, int, str], ...]  # description, number of samples, first key
    count_problem: str | None  # see img2dataset.py


def index_folder(
    folder: Path,
    workers: int = 1,
    label_key: str | None = None,
    progress: ProgressCallback | None = None,
) -> IndexReport:
    """Read every shard of `folder` once and write its index.

    Class names come from `classes.json` beside the shards, else from the labels themselves.

    Args:
        label_key: the key in the json of samples with class numbers or names. None: use cls.
        progress: called with shards done and shards in all.

    Raises:
        DataError: no shards, a broken shard, missing or wrong labels, a class without a name.
    """
    names = list(shard_index.list_shards(folder)) if folder.is_dir() else []
    if not names:
        raise DataError(f"{folder}: holds no .tar shards; correct the path")
    shard_index.refuse_unfinished(folder)
    scans = _without_errors(each_shard(partial(_scan, folder, label_key), names, workers, progress))
    index = ShardIndex(
        folder,
        tuple(scan.entry for scan in scans),
        tuple(sorted(frozenset().union(*(scan.fields for scan in scans)))),
        class_names.load(folder, _labels(folder, scans)),
        label_key,
        tuple(sorted(frozenset().union(*(scan.json_keys for scan in scans)))),
    )
    shard_index.write(index)
    sample_index_cache.remove_stale(index)
    return IndexReport(index, tuple(_warnings(folder, scans)))


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


def _without_errors(found: Sequence[_ShardScan | DataError]) -> list[_ShardScan]:
    errors = [each for each in found if isinstance(each, DataError)]
    if errors:
        more = f"; {len(errors) - 1} more shards are broken" if len(errors) > 1 else ""
        raise DataError(f"{errors[0]}{more}") from errors[0]
    return [each for each in found if isinstance(each, _ShardScan)]


def _scan(folder: Path, label_key: str | None, name: str) -> _ShardScan | DataError:
    """Scan a shard. An error is returned: the caller reports the first and counts the others."""
    try:
        path = folder / name
        entry = shard_index.read_entry(folder, name, 0)
        shard = open_shard(path)
        sample_index_cache.write(folder, name, shard)
        return _ShardScan(
            replace(entry, samples=len(shard), layout=shard.layout),
            frozenset(field for fields in shard.members for field in fields),
            _highest_or_names(shard, label_key),
            _json_keys(shard),
            tuple(_oddities(shard)),
            img2dataset.sample_count_problem(path, len(shard)),
        )
    except OSError as error:
        return DataError(f"{folder / name}: cannot be read ({error.strerror}); check the disk")
    except DataError as error:
        return error


def _highest_or_names(shard: Shard, label_key: str | None) -> frozenset[str] | int | None:
    if label_key is None:
        if not any("cls" in fields for fields in shard.members):
            return None
        return max(shard.label(i) for i in range(len(shard)))
    values = {json_label(shard, i, label_key) for i in range(len(shard))}
    names = frozenset(value for value in values if isinstance(value, str))
    numbers = [value for value in values if isinstance(value, int)]
    if names and numbers:
        raise _mixed(shard.path, label_key)
    return names or max(numbers, default=None)


def json_label(shard: Shard, i: int, key: str) -> int | str:
    """Read the class number or name under `key` in the json of sample `i`.

    Raises:
        DataError: there is none.
    """
    value = (json_object(shard, i) or {}).get(key)
    if isinstance(value, str) or (isinstance(value, int) and value >= 0):
        return value
    raise DataError(
        f"{shard.path}: sample {shard.keys[i]} has {value!r} under {key!r} in its json, which is "
        "neither a class number nor a name; correct --label-key or make the shard again"
    )


def json_object(shard: Shard, i: int) -> dict[str, Any] | None:
    """Read the json of a sample; None where it is absent or not an object."""
    try:
        value = json.loads(shard.read(i, ["json"]).get("json", b""))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _json_keys(shard: Shard) -> frozenset[str]:
    first = range(min(_JSON_SAMPLES, len(shard)))
    return frozenset(key for i in first for key in json_object(shard, i) or ())


def _oddities(shard: Shard) -> Iterator[tuple[str, int, str]]:
    """Yield what the headers show to be unusual: description, number of samples, first key."""
    images = [sum(field in members for field in IMAGE_FIELDS) for members in shard.members]
    keys = Counter(shard.keys)
    checks: dict[str, Callable[[int], bool]] = {
        "no image": lambda i: not images[i],
        "several images": lambda i: images[i] > 1,
        "a key that another has": lambda i: keys[shard.keys[i]] > 1,
        "an empty txt": lambda i: shard.members[i].get("txt", (0, 1))[1] == 0,
    }
    fields = {field for members in shard.members for field in members}
    for field in sorted(fields.intersection(_FIELDS_BESIDE_IMAGES)):
        checks[f"no {field}, unlike others"] = partial(_lacks, shard, field)
    for description, is_odd in checks.items():
        if found := [i for i in range(len(shard)) if is_odd(i)]:
            yield description, len(found), shard.keys[found[0]]


def _lacks(shard: Shard, field: str, i: int) -> bool:
    return field not in shard.members[i]


def _labels(folder: Path, scans: Sequence[_ShardScan]) -> int | frozenset[str]:
    """Join the labels of all shards: all names, or the highest number plus one."""
    non_empty = [scan for scan in scans if scan.entry.samples]
    labeled = [scan for scan in non_empty if scan.labels is not None]
    if labeled and len(labeled) < len(non_empty):
        without = next(scan for scan in non_empty if scan.labels is None)
        raise DataError(
            f"{folder / without.entry.name}: has no cls, unlike other shards; make the shard again"
        )
    names = frozenset[str]().union(
        *(scan.labels for scan in labeled if isinstance(scan.labels, frozenset))
    )
    numbers = [scan.labels for scan in labeled if isinstance(scan.labels, int)]
    if names and numbers:
        raise _mixed(folder, "label")
    return names or 1 + max(numbers, default=-1)


def _mixed(path: Path, key: str) -> DataError:
    return DataError(
        f"{path}: has class numbers and class names under {key!r}; write one kind everywhere"
    )


def _warnings(folder: Path, scans: Sequence[_ShardScan]) -> Iterator[str]:
    total = sum(scan.entry.samples for scan in scans)
    descriptions = (description for scan in scans for description, _, _ in scan.oddities)
    for description in dict.fromkeys(descriptions):
        found = [
            (scan.entry.name, samples, first)
            for scan in scans
            for each, samples, first in scan.oddities
            if each == description
        ]
        samples, (shard, _, first) = sum(n for _, n, _ in found), found[0]
        where = f"in {len(found):,} of {len(scans):,} shards, the first {first} in {shard}"
        yield f"{description}: {samples:,} of {total:,} samples, {where}"
    if empty := [scan.entry.name for scan in scans if not scan.entry.samples]:
        yield f"no samples: in {len(empty):,} of {len(scans):,} shards, the first {empty[0]}"
    for scan in scans:
        if scan.count_problem:
            yield f"{scan.entry.name}: {scan.count_problem}"
    for name in img2dataset.shards_without_stats(folder, [scan.entry.name for scan in scans]):
        stats = f"{Path(name).stem}_stats.json"
        yield f"{name}: has no {stats} beside it, as others do; it may be incomplete"
