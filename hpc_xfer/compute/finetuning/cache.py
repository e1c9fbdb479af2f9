"""Memory that the fine-tunings of a worker share: parents, data sets, images, frozen features.

A few-shot run lasts about a second, less than it takes to read all this. Nothing of a run is kept
here: its liveness and the place of its fingerprints are arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from hpc_xfer.compute.downstream.datasets import DownstreamData, FingerprintCache, ImageSet, load
from hpc_xfer.compute.downstream.eval_images import EvalImages
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.compute.finetuning.classifier import Classifier, extract, zero_shot_weights
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo, dataset_info
from hpc_xfer.config.recipes import Arch
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.system import atomic_files

Place = Location | Path | None  # of a data set; None is built in
Key = TypeVar("Key")
Value = TypeVar("Value")
_KEPT = 2  # parents, data sets and so on: those of a pack and of the next one
_KEPT_SETS = 4  # sets of images per split: validation, test, and the images of a draw or two


class MostRecent(Generic[Key, Value]):
    """Keep the values of the keys used last, at most `bound` of them."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._values: dict[Key, Value] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        value = self._values.pop(key) if key in self._values else make()
        while len(self._values) >= self.bound:
            del self._values[next(iter(self._values))]
        self._values[key] = value
        return value


@dataclass(frozen=True, eq=False)
class Parent:
    """An encoder read from the store; a trial trains a copy of its visual tower."""

    arch: Arch
    towers: Towers
    fingerprint: str  # SHA-256 of its file

    @property
    def size(self) -> int:
        """Side of its input images in pixels."""
        return self.towers.image_size


class FrozenFeatures:
    """Features of an untrained copy of a parent for one split of a data set.

    Features are kept for a whole set of images, because their last bits depend on the batch that an
    image is in. If they were kept one by one, results would depend on earlier runs.
    """

    def __init__(self, images: EvalImages) -> None:
        self.images = images
        self._kept: MostRecent[bytes, Tensor] = MostRecent(_KEPT_SETS)

    def of(
        self, model: Classifier, chosen: Indices, device: torch.device, liveness: Liveness
    ) -> Tensor:
        """Features (n, dim) of the chosen images, on the CPU; `model` must still be untrained."""
        batches = liveness.with_liveness(self.images.batches(chosen))
        return self._kept.get(chosen.tobytes(), lambda: extract(model, batches, device))


@dataclass(frozen=True, eq=False)
class SplitFeatures:
    """Frozen features of the training and of the test images."""

    train: FrozenFeatures
    test: FrozenFeatures


class FinetuneCache:
    """Read and compute things once per process; keep those used last. A worker owns one."""

    def __init__(self) -> None:
        self._parents: MostRecent[tuple[Path, int, int], Parent] = MostRecent(_KEPT)
        self._datasets: MostRecent[tuple[str, Place], DownstreamData] = MostRecent(_KEPT)
        # Below, keys are the objects above: one that was read again is another key.
        self._images: MostRecent[tuple[ImageSet, int], EvalImages] = MostRecent(2 * _KEPT)
        self._features: MostRecent[tuple[Parent, DownstreamData], SplitFeatures] = MostRecent(_KEPT)
        self._texts: MostRecent[tuple[Parent, DatasetInfo], Tensor] = MostRecent(_KEPT)

    def parent(self, path: Path) -> Parent:
        """The encoder in a file.

        Raises:
            FileNotFoundError: there is no such file.
            DataError: it is damaged.
        """
        stat = path.stat()
        return self._parents.get(
            (path, stat.st_mtime_ns, stat.st_size),
            lambda: Parent(*encoders.load(path), atomic_files.sha256(path)),
        )

    def dataset(
        self, name: str, place: Place, fingerprints: FingerprintCache | None
    ) -> DownstreamData:
        """The data set that a site keeps in a place, or the built-in one.

        Raises:
            DataError: as `load`.
        """
        return self._datasets.get(
            (name, place), lambda: load(dataset_info(name, place), place, fingerprints)
        )

    def features(self, parent: Parent, data: DownstreamData) -> SplitFeatures:
        """Features that the parent, not trained further, gives for a data set."""

        def split(images: ImageSet) -> FrozenFeatures:
            key = (images, parent.size)
            return FrozenFeatures(self._images.get(key, lambda: EvalImages(*key)))

        return self._features.get(
            (parent, data), lambda: SplitFeatures(split(data.train), split(data.test))
        )

    def text_weights(self, parent: Parent, info: DatasetInfo, liveness: Liveness) -> Tensor:
        """Zero-shot head (classes, dim) of a parent with a text tower, on the CPU."""
        classes = liveness.with_liveness(info.classes)
        return self._texts.get(
            (parent, info),
            lambda: zero_shot_weights(
                parent.towers, encoders.tokenizer(parent.arch), classes, info.templates
            ),
        )
