"""Decode every image of a data set once per store, before anything is trained on it.

    check_decodable(store, data, touch)

An image that cannot be decoded would else be found when its trial needs it: a test image after the
training, in every trial. One process decodes, with threads; the others wait for it. A note beside
the fingerprints says that a data set has passed, with which decoders. Images that are in memory
need no decoder.
"""

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpc_xfer.compute.downstream.array_format import DamagedCacheError, Rows
from hpc_xfer.compute.downstream.cached_array import CachedArray, Touch
from hpc_xfer.compute.downstream.check_dataset import MOST_EXAMPLES
from hpc_xfer.compute.downstream.decoded_cache import decoders
from hpc_xfer.compute.downstream.image_sets import DownstreamData, ImageSet
from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.system import atomic_files, machine

_SCHEMA = 1
_READERS = 8  # threads: decoders release the GIL, and network files are slow
_AT_ONCE = 256  # images between two signs of life: a second or two


def check_decodable(store: StoreDir, data: DownstreamData, touch: Touch = lambda: None) -> None:
    """Decode all images of all splits, unless this store has a note that they were.

    Args:
        touch: called every second or so, as a sign of life.

    Raises:
        DataError: some cannot be decoded; with their number, and the first of them.
    """
    images = _FileImages.of(data)
    if not images.total:
        return
    path = store.decoded(data.fingerprint)
    note = {"schema": _SCHEMA, "decoders": decoders(), "images": images.counts}
    if _is_noted(atomic_files.read_json(path), note):
        return
    failures = images.failures(_heights(store, data.fingerprint, images, touch))
    if failures:
        name = data.info.name
        called = shlex.quote(name) + (" --json" if len(failures) > MOST_EXAMPLES else "")
        raise DataError(
            f"data set {name!r}: {len(failures):,} of {images.total:,} images cannot be decoded, "
            f"the first is {failures[0]}; `python -m hpc_xfer.datasets check {called}` lists all "
            "of them"
        )
    with contextlib.suppress(StoreError):  # another user of the store may own the folder
        atomic_files.write_json(path, {**note, "dataset": data.info.name})


def _is_noted(found: Any, note: Mapping[str, Any]) -> bool:
    return isinstance(found, dict) and all(found.get(key) == note[key] for key in note)


@dataclass(frozen=True, eq=False)
class _FileImages:
    """The images of all splits that come from files, numbered through."""

    splits: Mapping[str, ImageSet]

    @classmethod
    def of(cls, data: DownstreamData) -> "_FileImages":
        return cls({name: images for name, images in data.splits.items() if images.from_files})

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(images) for name, images in self.splits.items()}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def heights(self) -> Iterator[Rows]:
        """Yield the height in pixels of each image, 0 for one that cannot be decoded."""
        with ThreadPoolExecutor(min(_READERS, machine.cores())) as readers:
            for first in range(0, self.total, _AT_ONCE):
                part = range(first, min(first + _AT_ONCE, self.total))
                yield np.array(list(readers.map(self._height, part)), dtype=np.int32)

    def failures(self, heights: Rows) -> list[str]:
        """Try those of height 0 again, for the file may be back; say why each one fails."""
        tried = (self._decode(int(i)) for i in np.flatnonzero(heights == 0))
        return [found for found in tried if isinstance(found, str)]

    def _height(self, i: int) -> int:
        found = self._decode(i)
        return 0 if isinstance(found, str) else found

    def _decode(self, i: int) -> int | str:
        """The height of an image, or why it cannot be decoded."""
        for images in self.splits.values():
            if i < len(images):
                break
            i -= len(images)
        try:
            return int(images.image(i).shape[1])
        except DataError as error:
            return str(error)


def _heights(store: StoreDir, fingerprint: str, images: _FileImages, touch: Touch) -> Rows:
    """The heights of all images, computed by one of the processes that ask for them."""
    what = {"data": fingerprint, "images": images.counts, "decoders": decoders()}
    slot = CachedArray.keyed(store.cache("decoded"), what, (images.total,), np.dtype("<i4"))
    with contextlib.suppress(DamagedCacheError):
        if (found := slot.made(images.heights, touch)) is not None:
            return found.whole()
    slot.remove()
    parts = []
    for part in images.heights():
        touch()
        parts.append(part)
    return np.concatenate(parts)
