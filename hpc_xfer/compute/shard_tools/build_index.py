"""What is in the shards of a folder, read once by many processes, written down in its index.

found = index_folder(folder, workers=8)
found.index, found.warnings

A shard is hashed from front to back first, at 1 GB/s or what the disk gives; its headers, captions
and labels are then in memory.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hpc_xfer.compute.shard_tools import class_names, img2dataset
from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import IMAGE_FIELDS, ShardEntry, ShardIndex
from hpc_xfer.errors import DataError
from hpc_xfer.system import process_pool
from hpc_xfer.system.terminal import ProgressCallback

_LOOKED_AT = 16  # samples of each shard whose json tells which keys occur
_PARTNERS = ("txt", "json", "cls")


@dataclass(frozen=True)
class IndexReport:
    """The index as it was written, and what is odd about the shards."""

    index: ShardIndex
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Scan:
    """What one shard holds."""

    entry: ShardEntry
    fields: frozenset[str]
    labels: frozenset[str] | int | None  # names, or the highest number; None without labels
    json_keys: frozenset[str]
    odd: tuple[tuple[str, int, str], ...]  # what, how many samples, the first
    complaint: str | None


def index_folder(
    folder: Path,
    workers: int = 1,
    label_key: str | None = None,
    progress: ProgressCallback | None = None,
) -> IndexReport:
    """Read every shard of `folder` once and write its index.

    Class names come from `classes.json` beside the shards, else from the labels themselves.

    Args:
        label_key: where labels are in the json of samples: class numbers or names. None: in cls.

    Raises:
        DataError: no shards, one that is broken, labels missing or wrong, a class without a name.
    """
    names = list(shard_index.list_shards(folder)) if folder.is_dir() else []
    if not names:
        raise DataError(f"{folder}: holds no .tar shards; correct the path")
    shard_index.refuse_unfinished(folder)
    found: dict[int, _Scan | DataError] = {}
    if progress:
        progress(0, len(names))
    for number, scan in process_pool.results(partial(_scan, folder, label_key), names, workers):
        found[number] = scan
        if progress:
            progress(len(found), len(names))
    scans = list(_whole([found[number] for number in range(len(names))]))
    index = ShardIndex(
        folder,
        tuple(scan.entry for scan in scans),
        tuple(sorted(frozenset().union(*(scan.fields for scan in scans)))),
        class_names.load(folder, _labels(folder, scans)),
        label_key,
        tuple(sorted(frozenset().union(*(scan.json_keys for scan in scans)))),
    )
    shard_index.write(index)
    sample_index_cache.tidy(index)
    return IndexReport(index, tuple(_warnings(folder, scans)))


def _whole(found: Sequence[_Scan | DataError]) -> Iterator[_Scan]:
    errors = [each for each in found if isinstance(each, DataError)]
    if errors:
        more = f"; {len(errors) - 1} more shards are wrong" if len(errors) > 1 else ""
        raise DataError(f"{errors[0]}{more}") from errors[0]
    yield from (each for each in found if isinstance(each, _Scan))


def _scan(folder: Path, label_key: str | None, name: str) -> _Scan | DataError:
    """What is wrong with a shard is returned, so that the first of all can be told."""
    try:
        path = folder / name
        entry = shard_index.read_entry(folder, name, 0)
        shard = open_shard(path)
        sample_index_cache.write(folder, name, shard)
        return _Scan(
            replace(entry, samples=len(shard), layout=shard.layout),
            frozenset(field for fields in shard.members for field in fields),
            _highest_or_names(shard, label_key),
            _json_keys(shard),
            tuple(_odd(shard)),
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
    """The class number or name under `key` in the json of sample `i`.

    Raises:
        DataError: there is neither.
    """
    value = (json_object(shard, i) or {}).get(key)
    if isinstance(value, str) or (isinstance(value, int) and value >= 0):
        return value
    raise DataError(
        f"{shard.path}: sample {shard.keys[i]} has {value!r} under {key!r} in its json, which is "
        "neither a class number nor a name; correct --label-key or make the shard again"
    )


def json_object(shard: Shard, i: int) -> dict[str, Any] | None:
    """The object in the json of a sample; None where there is none."""
    try:
        value = json.loads(shard.read(i, ["json"]).get("json", b""))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _json_keys(shard: Shard) -> frozenset[str]:
    first = range(min(_LOOKED_AT, len(shard)))
    return frozenset(key for i in first for key in json_object(shard, i) or ())


def _odd(shard: Shard) -> Iterator[tuple[str, int, str]]:
    """What the headers tell, at no cost."""
    images = [sum(field in members for field in IMAGE_FIELDS) for members in shard.members]
    keys = Counter(shard.keys)
    kinds: dict[str, Callable[[int], bool]] = {
        "no image": lambda i: not images[i],
        "several images": lambda i: images[i] > 1,
        "a key that another has": lambda i: keys[shard.keys[i]] > 1,
        "an empty txt": lambda i: shard.members[i].get("txt", (0, 1))[1] == 0,
    }
    fields = {field for members in shard.members for field in members}
    for partner in sorted(fields.intersection(_PARTNERS)):
        kinds[f"no {partner}, unlike others"] = partial(_lacks, shard, partner)
    for what, holds in kinds.items():
        if found := [i for i in range(len(shard)) if holds(i)]:
            yield what, len(found), shard.keys[found[0]]


def _lacks(shard: Shard, field: str, i: int) -> bool:
    return field not in shard.members[i]


def _labels(folder: Path, scans: Sequence[_Scan]) -> int | frozenset[str]:
    """All names, or the highest number plus one."""
    holding = [scan for scan in scans if scan.entry.samples]
    labelled = [scan for scan in holding if scan.labels is not None]
    if labelled and len(labelled) < len(holding):
        bare = next(scan for scan in holding if scan.labels is None)
        raise DataError(
            f"{folder / bare.entry.name}: has no cls, unlike other shards; make the shard again"
        )
    names = frozenset[str]().union(
        *(scan.labels for scan in labelled if isinstance(scan.labels, frozenset))
    )
    numbers = [scan.labels for scan in labelled if isinstance(scan.labels, int)]
    if names and numbers:
        raise _mixed(folder, "label")
    return names or 1 + max(numbers, default=-1)


def _mixed(path: Path, key: str) -> DataError:
    return DataError(
        f"{path}: has class numbers and class names under {key!r}; write one kind everywhere"
    )


def _warnings(folder: Path, scans: Sequence[_Scan]) -> Iterator[str]:
    total = sum(scan.entry.samples for scan in scans)
    for what in dict.fromkeys(what for scan in scans for what, _, _ in scan.odd):
        found = [
            (scan.entry.name, *odd[1:]) for scan in scans for odd in scan.odd if odd[0] == what
        ]
        samples, (shard, _, first) = sum(many for _, many, _ in found), found[0]
        where = f"in {len(found):,} of {len(scans):,} shards, the first {first} in {shard}"
        yield f"{what}: {samples:,} of {total:,} samples, {where}"
    if empty := [scan.entry.name for scan in scans if not scan.entry.samples]:
        yield f"no samples: in {len(empty):,} of {len(scans):,} shards, the first {empty[0]}"
    for scan in scans:
        if scan.complaint:
            yield f"{scan.entry.name}: {scan.complaint}"
    for name in img2dataset.shards_without_stats(folder, [scan.entry.name for scan in scans]):
        yield f"{name}: has no {Path(name).stem}_stats.json beside it, as others do; it may be cut"
