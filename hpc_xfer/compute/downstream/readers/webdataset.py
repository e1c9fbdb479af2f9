"""Tar shards in the form of CLIP_benchmark, read in place."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpc_xfer.compute.downstream import fingerprints
from hpc_xfer.compute.downstream.fingerprints import FingerprintCache
from hpc_xfer.compute.downstream.image_sets import DownstreamData, TarImages
from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.config.dataset_forms import webdataset
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError

_FIELDS = ("webp", "png", "jpg", "jpeg")


def read(info: DatasetInfo, place: Location, cache: FingerprintCache | None) -> DownstreamData:
    tars = webdataset.list_tars(place.path, place.class_names)
    touch = cache.touch if cache is not None else _nothing
    train, test = (
        _images(tars.shards[name], len(info.classes), touch) for name in ("train", "test")
    )
    counts, test_counts = (
        tuple(np.bincount(images.labels, minlength=len(info.classes)).tolist())
        for images in (train, test)
    )
    known = replace(
        info,
        train=len(train),
        test=len(test),
        smallest_class=min(counts),
        class_counts=counts,
        test_counts=test_counts,
        complete=True,
        notes=(*info.notes, *_notes([*train.shards, *test.shards])),
    )
    above = place.path if place.path.is_dir() else place.path.parent
    while "{split}" in str(above):
        above = above.parent
    sets = {"train": train, "test": test}
    fingerprint, copies = fingerprints.of_shards(
        above,
        [*tars.shards.values(), tars.lists],
        sets,
        cache,
        splits=fingerprints.digest_of_labels(sets.items()),
    )
    return DownstreamData(known, train, test, fingerprint, copies=copies)


def split(
    info: DatasetInfo, place: Location, name: str, touch: Callable[[], object] | None = None
) -> TarImages:
    """Read one split alone.

    Args:
        touch: called for each shard, as a sign of life.
    """
    tars = webdataset.list_tars(place.path, place.class_names)
    return _images(tars.shards[name], len(info.classes), touch or _nothing)


def _notes(shards: Sequence[Shard]) -> Iterator[str]:
    """Say which members of the shards belong to no sample."""
    found: dict[str, tuple[int, str]] = {}
    for shard in shards:
        for what, number, first in shard.passed_over:
            count, where = found.get(what, (0, f"{first} in {shard.path}"))
            found[what] = count + number, where
    for what, (count, where) in found.items():
        yield f"{count:,} {what} are left out, the first {where}"


def _nothing() -> None:
    return None


def _images(paths: Sequence[Path], classes: int, touch: Callable[[], object]) -> TarImages:
    """List the images; the headers of a million take 20 minutes on a network file system."""
    shards = []
    for path in paths:
        touch()
        shards.append(open_shard(path))
    labels, fields, places = [], [], []
    seen: dict[str, str] = {}
    for number, shard in enumerate(shards):
        for sample, (key, members) in enumerate(zip(shard.keys, shard.members, strict=True)):
            name = f"{shard.path}: sample {key}"
            if key in seen:
                where = f"in {seen[key]} too" if seen[key] != str(shard.path) else "there twice"
                raise DataError(f"{name} is {where}; make the shards again")
            seen[key] = str(shard.path)
            found = [field for field in _FIELDS if field in members]
            if not found:
                raise DataError(f"{name} has no image ({' '.join(_FIELDS)}); make the shard again")
            if len(found) > 1:
                raise DataError(
                    f"{name} has {len(found)} images ({' '.join(found)}); make the shard again"
                )
            label = shard.label(sample)
            if label >= classes:
                raise DataError(
                    f"{name} has class {label}, but there are {classes} class names; correct "
                    "classnames.txt or class_names in the site file"
                )
            labels.append(label)
            fields.append(found[0])
            places.append((number, sample))
    table = np.array(places, dtype=np.int64).reshape(-1, 2)
    return TarImages(np.array(labels, dtype=np.int64), shards, fields, table)
