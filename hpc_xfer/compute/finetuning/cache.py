"""Memory that the fine-tunings of a worker share: parents, data sets, images, frozen features.

A few-shot run lasts about a second, less than it takes to read all this. Nothing of a run is kept
here: its liveness and the place of its fingerprints are arguments.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from hpc_xfer.compute.downstream.datasets import DownstreamData, FingerprintCache, ImageSet, load
from hpc_xfer.compute.downstream.decode_check import check_decodable
from hpc_xfer.compute.downstream.decoded_cache import CachePlaces, DecodedCache
from hpc_xfer.compute.downstream.eval_images import EvalImages, fits_memory
from hpc_xfer.compute.downstream.kept_originals import Originals
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.compute.finetuning.classifier import Classifier, extract, zero_shot_weights
from hpc_xfer.compute.finetuning.feature_cache import Extraction, FeatureCache
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo, dataset_info
from hpc_xfer.config.own_datasets.remarks import remarks
from hpc_xfer.config.recipes import Arch
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.store.paths import StoreDir

log = logging.getLogger(__name__)
Place = Location | Path | None  # of a data set; None is built in
Key = TypeVar("Key")
Value = TypeVar("Value")
_KEPT = 2  # parents, data sets and so on: those of a pack and of the next one
_KEPT_SPLITS = 8  # of image sets; those of two data sets
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
    path: Path

    @property
    def size(self) -> int:
        """Side of its input images in pixels."""
        return self.towers.image_size


class FrozenFeatures:
    """Features of an untrained parent for one split of a data set.

    Features are kept for a whole set of images, because their last bits depend on the batch that an
    image is in. If they were kept one by one, results would depend on earlier runs.
    """

    def __init__(self, images: EvalImages, cache: FeatureCache | None = None) -> None:
        self.images, self.cache = images, cache
        self.precision = "fp32" if cache is None else cache.extraction.precision
        self._kept: MostRecent[bytes, Tensor] = MostRecent(_KEPT_SETS)
        self._all: Tensor | None = None

    def all(self, liveness: Liveness) -> Tensor:
        """Features (n, dim) of the whole split, on the CPU; extracted once for all processes.

        Raises:
            DataError: an image cannot be decoded, or a feature is not finite.
        """
        assert self.cache is not None
        if self._all is None:
            self._all = self.cache.whole(liveness)
        return self._all

    def of(
        self, model: Classifier, chosen: Indices, device: torch.device, liveness: Liveness
    ) -> Tensor:
        """Features (n, dim) of the chosen images, on the CPU; `model` must still be untrained.

        Raises:
            DataError: as `all`.
        """

        def extracted() -> Tensor:
            batches = self.images.batches(chosen, liveness.touch)
            features = extract(model, batches, device, self.precision)
            if self.cache is not None:
                self.cache.check_finite(features, chosen)
            return features

        return self._kept.get(chosen.tobytes(), extracted)


@dataclass(frozen=True, eq=False)
class SplitFeatures:
    """Frozen features of the splits of a data set."""

    train: FrozenFeatures
    test: FrozenFeatures
    val: FrozenFeatures | None = None  # of an official validation set
    further: Mapping[str, FrozenFeatures] = field(default_factory=dict)  # further test sets


class FinetuneCache:
    """Read and compute things once per process; keep those used last. A worker owns one.

    With `places`, views and features are kept on disk too, for other processes and later runs.
    """

    def __init__(self, places: CachePlaces | None = None) -> None:
        self.places = places
        self._parents: MostRecent[tuple[Path, int, int], Parent] = MostRecent(_KEPT)
        self._datasets: MostRecent[tuple[str, Place], DownstreamData] = MostRecent(_KEPT)
        # Below, keys are the objects above: one that was read again is another key.
        self._images: MostRecent[tuple[ImageSet, int], EvalImages] = MostRecent(_KEPT_SPLITS)
        self._originals: MostRecent[ImageSet, Originals] = MostRecent(1)
        self._features: MostRecent[tuple[Parent, DownstreamData, Extraction], SplitFeatures] = (
            MostRecent(_KEPT)
        )
        self._decodable: MostRecent[DownstreamData, bool] = MostRecent(_KEPT)
        self._texts: MostRecent[tuple[Parent, DatasetInfo, Extraction], Tensor] = MostRecent(_KEPT)

    def parent(
        self, path: Path, product: Callable[[], encoders.Product | None] = lambda: None
    ) -> Parent:
        """The encoder in a file.

        Args:
            product: says what it has to be; called when the file is read.

        Raises:
            FileNotFoundError: there is no such file.
            DataError: it is damaged, or another one.
        """
        stat = path.stat()
        return self._parents.get(
            (path, stat.st_mtime_ns, stat.st_size),
            lambda: Parent(*encoders.load_hashed(path, product()), path),
        )

    def dataset(
        self, name: str, place: Place, fingerprints: FingerprintCache | None
    ) -> DownstreamData:
        """The data set that a site keeps in a place, or the built-in one.

        Raises:
            DataError: as `load`.
        """

        def loaded() -> DownstreamData:
            info = dataset_info(name, place)
            data = load(info, place, fingerprints)
            if not info.complete:  # the launch could not know; for others it has said so
                for note in (*data.info.notes, *remarks(data.info)):
                    log.warning("data set %r: %s", name, note)
            return data

        return self._datasets.get((name, place), loaded)

    def check_decodable(self, store: StoreDir, data: DownstreamData, liveness: Liveness) -> None:
        """Decode all images of a data set once, before anything is trained on it.

        Raises:
            DataError: some cannot be decoded.
        """

        def checked() -> bool:
            check_decodable(store, data, liveness.touch)
            return True

        self._decodable.get(data, checked)

    def features(
        self, parent: Parent, data: DownstreamData, extraction: Extraction | None = None
    ) -> SplitFeatures:
        """Features that the parent, not trained further, gives for a data set."""
        how = extraction or Extraction(torch.device("cpu"))

        def split(name: str, images: ImageSet) -> FrozenFeatures:
            what = {"data": data.fingerprint, "name": f"{data.info.name} {name}"}
            views = self._views(images, parent.size, what)
            return FrozenFeatures(
                views,
                FeatureCache(
                    parent.towers, parent.path, parent.fingerprint, views, what, how, self.places
                ),
            )

        return self._features.get(
            (parent, data, how),
            lambda: SplitFeatures(
                split("train", data.train),
                split("test", data.test),
                None if data.val is None else split("val", data.val),
                {name: split(f"further {name}", each) for name, each in data.further.items()},
            ),
        )

    def _views(self, images: ImageSet, size: int, what: Mapping[str, str]) -> EvalImages:
        def made() -> EvalImages:
            slow = images.from_files or not fits_memory(len(images), size)
            if self.places is None or not slow:
                return EvalImages(images, size)
            return EvalImages(images, size, DecodedCache(self.places, what, len(images), size))

        return self._images.get((images, size), made)

    def training_images(self, images: ImageSet, chosen: Indices, liveness: Liveness) -> ImageSet:
        """The images to train on, decoded in memory if there are few; the same bits either way.

        Raises:
            DataError: an image cannot be decoded.
        """
        if not images.from_files:
            return images
        originals = self._originals.get(images, lambda: Originals(images))
        return originals.kept(chosen, liveness.touch) or images

    def text_weights(
        self, parent: Parent, info: DatasetInfo, how: Extraction, liveness: Liveness
    ) -> Tensor:
        """Zero-shot head (classes, dim) of a parent with a text tower, on the CPU."""
        classes = liveness.with_liveness(info.classes)
        return self._texts.get(
            (parent, info, how),
            lambda: zero_shot_weights(
                parent.towers, encoders.tokenizer(parent.arch), classes, info.templates,
                how.device, how.effective_precision,
            ),
        )  # fmt: skip
