"""Evaluation views of one split, decoded once for all processes: rows of a file in the store.

    cache = DecodedCache(places, {"data": fingerprint, "split": "test"}, n=800, size=64)
    rows = cache.rows(part, True, decode, touch)      # None: decode `part` yourself

Small photos are read 800 times as fast as they are decoded for 64 px, 70 to 120 times as fast
for 224 px. Where the site has node-local scratch, the file is copied there once per node, and read
there: few network file systems like random reads.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hpc_xfer.compute.downstream import node_scratch
from hpc_xfer.compute.downstream.array_format import DamagedCacheError, Rows
from hpc_xfer.compute.downstream.cached_array import ArrayFile, CachedArray, Touch
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.config.site import Site
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.system.job_environment import current_job

VIEW_VERSION = 1  # raise it with any change of decode.py or of crops.center_crop
_COPIED = 64  # images at a time

Decode = Callable[[Indices], Rows]  # numbers of images -> uint8 (n, 3, size, size)


@dataclass(frozen=True)
class CachePlaces:
    """Folders for arrays: the store, and scratch of this node where there is some."""

    store: StoreDir
    scratch: Path | None = None

    @classmethod
    def of(cls, store: StoreDir, site: Site) -> "CachePlaces":
        """Find those of a job: the site's `scratch` is its TMPDIR, see slurm/batch_script.py."""
        scratch = None
        if site.slurm.scratch is not None and current_job() is not None:
            scratch = node_scratch.folder_of(store.tag)
        return cls(store, scratch)


class DecodedCache:
    """The views of one split and side, made when many of them are wanted."""

    def __init__(self, places: CachePlaces, split: Mapping[str, Any], n: int, size: int) -> None:
        """
        Args:
            split: what its images are: fingerprint of the data set, and name of the split.
        """
        what = {**split, "size": size, "view": VIEW_VERSION, **software()}
        shape = (n, 3, size, size)

        members = places.store.trusts_members

        def slot(root: Path | None) -> CachedArray | None:
            if root is None:
                return None
            return CachedArray.keyed(root, what, shape, np.dtype("u1"), members)

        stored = slot(places.store.cache("images"))
        assert stored is not None
        self.stored = stored
        self.copy = slot(places.scratch)
        self._file: ArrayFile | None = None
        self._given_up = False

    def rows(self, part: Indices, make: bool, decode: Decode, touch: Touch) -> Rows | None:
        """Read the views of a part of the images; None where they have to be decoded.

        Where nobody has made the file yet, it is made of all images if `make` says so.
        """
        if self._file is None and not self._given_up:
            self._file = self._opened(make, decode, touch)
        if self._file is None:
            return None
        try:
            return self._file.rows(part)
        except DamagedCacheError as error:
            self._file.slot.left_out(str(error))
            self._file.slot.remove()
            self._file, self._given_up = None, True
            return None

    def _opened(self, make: bool, decode: Decode, touch: Touch) -> ArrayFile | None:
        """Open the file, or make it; remember where that failed: it would take long each time."""
        if make:
            found = self.stored.made(lambda: self._decoded(decode), touch)
            self._given_up = found is None
        else:
            found = self.stored.open()
        if found is None or self.copy is None:
            return found
        stored = found
        try:
            copy = self.copy.made(lambda: _copied(stored), touch)
        except DamagedCacheError as error:
            stored.slot.left_out(str(error))
            stored.slot.remove()
            self._given_up = True
            return None
        if copy is None:
            return stored
        node_scratch.mark_read(self.copy.folder)
        return copy

    def _decoded(self, decode: Decode) -> Iterator[Rows]:
        for part in _parts(self.stored.shape[0]):
            yield decode(part)


def _copied(file: ArrayFile) -> Iterator[Rows]:
    return map(file.rows, _parts(file.slot.shape[0]))


def _parts(n: int) -> Iterator[NDArray[np.int64]]:
    for first in range(0, n, _COPIED):
        yield np.arange(first, min(n, first + _COPIED))


def software() -> dict[str, str]:
    """List what may change the last bit of a pixel: a resize has other kernels on other CPUs."""
    return {
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "decoders": decoders(),
    }


def decoders() -> str:
    """Name the packages that decode, with their versions."""
    return f"simplejpeg {version('simplejpeg')}, pillow {version('pillow')}"
