"""An image folder of 20 classes: JPEGs of 256 to 384 px that look like photos to a decoder."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import photo_shards

CLASSES, TRAIN = 20, 10


def folder(test: int) -> Path:
    """The folder with so many test images per class, made where it is absent."""
    shards = photo_shards.shards("small")
    found = shards.parent / f"photos-{test}"
    if not found.is_dir():
        building = found.with_name(f"{found.name}.tmp")
        shutil.rmtree(building, ignore_errors=True)
        _write(building, test, itertools.cycle(photo_shards.encoded(shards)))
        building.rename(found)
    return found


def _write(building: Path, test: int, images: Iterator[bytes]) -> None:
    for split, per_class in (("train", TRAIN), ("test", test)):
        for label in range(CLASSES):
            place = building / split / f"class_{label:02}"
            place.mkdir(parents=True)
            for i in range(per_class):
                # A comment at the end, which decoders skip: no two files are the same.
                (place / f"{i}.jpg").write_bytes(next(images) + f"{split} {label} {i}".encode())
