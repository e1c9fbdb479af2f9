"""The inputs of a fine-tuning run: its parent, its data set, and the images of its draw."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.compute.downstream import fingerprints, splits
from hpc_xfer.compute.downstream.datasets import DownstreamData, FingerprintCache, ImageSet
from hpc_xfer.compute.downstream.splits import Indices, Split
from hpc_xfer.compute.finetuning.cache import FrozenFeatures, Parent, SplitFeatures
from hpc_xfer.compute.finetuning.feature_cache import Extraction
from hpc_xfer.compute.models.encoders import Product
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.store.dataset_fingerprints import (
    check_unchanged,
    check_words_unchanged,
    keep_first,
)
from hpc_xfer.store.heartbeat import Liveness

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ChosenImages:
    """Some images of a split: those that are trained on, validated on or tested on."""

    frozen: FrozenFeatures  # of the whole split
    images: ImageSet
    chosen: Indices

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def labels(self) -> Tensor:
        """int64 (n,)."""
        return torch.from_numpy(self.images.labels[self.chosen])

    def batches(self, touch: Callable[[], object]) -> Iterator[Tensor]:
        """Yield uint8 (n, 3, S, S) without augmentation; `touch` is a sign of life."""
        return self.frozen.images.batches(self.chosen, touch)

    def features(self, liveness: Liveness) -> Tensor:
        """Features (n, dim) of the untrained parent, on the CPU; those of the split are kept."""
        return self.frozen.all(liveness)[torch.from_numpy(self.chosen)]


@dataclass(frozen=True, eq=False)
class RunInputs:
    """Parent, data and images of a run. Nothing is read before it is needed."""

    context: RunContext
    recipe: Finetune
    liveness: Liveness
    parent: Parent
    data: DownstreamData

    @property
    def device(self) -> torch.device:
        return self.context.world.device

    @property
    def extraction(self) -> Extraction:
        return Extraction(self.device, self.recipe.precision)

    @cached_property
    def features(self) -> SplitFeatures:
        return self.context.cache.features(self.parent, self.data, self.extraction)

    @cached_property
    def split(self) -> Split:
        official = 0 if self.data.val is None else len(self.data.val)
        return splits.split_of(self.recipe, self.data.train.labels, official)

    @cached_property
    def train(self) -> ChosenImages:
        return ChosenImages(self.features.train, self.data.train, self.split.train)

    @cached_property
    def validation(self) -> ChosenImages:
        """The images that choices rest on; empty for `none` and `loo`."""
        if self.split.official:
            assert self.features.val is not None and self.data.val is not None
            return _whole(self.features.val, self.data.val)
        return ChosenImages(self.features.train, self.data.train, self.split.validation)

    @cached_property
    def test(self) -> ChosenImages:
        return _whole(self.features.test, self.data.test)

    @cached_property
    def further(self) -> dict[str, ChosenImages]:
        """Further test sets by name; they are measured, and never chosen by."""
        return {
            name: _whole(self.features.further[name], images)
            for name, images in self.data.further.items()
        }

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of images and labels, for the record."""
        recipe, n_val = self.recipe, len(self.validation)
        chosen = len(self.train) if recipe.trains_on_shots else 0
        shots = recipe.shots
        few = shots if isinstance(shots, int) and recipe.trains_on_shots else None
        labels = self.data.train.labels
        short = 0 if few is None else self.split.short_classes(labels, few)
        return {
            "n_test": len(self.test),
            "n_val": n_val,
            "train_images": chosen,
            "labels": chosen + n_val,
            "classes": len(self.data.info.classes),
            **({"short_classes": short} if short else {}),
            **self.data.copies,
        }

    @cached_property
    def words(self) -> str:
        """SHA-256 of class names and prompts."""
        return fingerprints.of_words(self.data.info)

    def check_words(self) -> None:
        """Compare class names and prompts with those of earlier runs of the store.

        Raises:
            DataError: they are others.
        """
        check_words_unchanged(self.context.store, self.recipe.dataset, self.words)

    def text_weights(self) -> Tensor:
        """Zero-shot head (classes, dim) for unit features, on the device.

        Raises:
            DataError: class names or prompts are others than in earlier runs of the store.
        """
        cache, data = self.context.cache, self.data
        self.check_words()
        weights = cache.text_weights(self.parent, data.info, self.extraction, self.liveness)
        return weights.to(self.device)


def prepare(context: RunContext) -> RunInputs:
    """Read the parent and the data set of a run.

    Raises:
        DataError: one of them is missing, damaged or another one than planned, or has an image
            that cannot be decoded.
    """
    recipe = context.run.recipe
    assert isinstance(recipe, Finetune)
    liveness = Liveness(context.dir, context.claim.check if context.claim else None)
    liveness.touch()  # all that follows may be in memory already
    kept = FingerprintCache(liveness.touch, context.store.fingerprint)
    parent = _parent(context, recipe)
    place = context.site.dataset(recipe.dataset)
    data = context.cache.dataset(recipe.dataset, place, kept)
    is_kept = check_unchanged(context.store, recipe.dataset, data.fingerprint)
    context.cache.check_decodable(context.store, data, liveness)
    if not is_kept:  # what cannot be decoded will change when it is mended
        keep_first(context.store, recipe.dataset, data.fingerprint)
    return RunInputs(context, recipe, liveness, parent, data)


def _parent(context: RunContext, recipe: Finetune) -> Parent:
    parent = context.run.parents[0]
    if not context.store.is_done(parent):
        raise StoreError(f"the parent {parent.id} has no record; launch the study again")
    folder = context.store.run(parent.id)
    path = folder.product(recipe.snapshot)
    try:
        return context.cache.parent(path, lambda: _product(context, path))
    except FileNotFoundError:
        raise DataError(
            f"{path}: is missing; delete {folder.path} and launch again to repeat the pre-training"
        ) from None


def _product(context: RunContext, path: Path) -> Product:
    """Tell what the encoder of the parent has to be, from its recipe and its record."""
    parent = context.run.parents[0]
    assert not isinstance(parent.recipe, Finetune)
    record = context.store.record(parent.id) or {}
    name = path.relative_to(context.store.run(parent.id).path).as_posix()
    match record.get("provenance"):
        case {"products": dict() as products} if name in products:
            return Product(parent.recipe.arch, str(products[name]))
    _tell_of_older_records(context.store.root)
    return Product(parent.recipe.arch)


@cache
def _tell_of_older_records(root: Path) -> None:
    log.warning(
        "%s: records of an older version do not say which file is the encoder; any of the same "
        "architecture is taken",
        root,
    )


def _whole(frozen: FrozenFeatures, images: ImageSet) -> ChosenImages:
    return ChosenImages(frozen, images, np.arange(len(images)))
