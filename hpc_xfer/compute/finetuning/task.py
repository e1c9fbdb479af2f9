"""One fine-tuning trial, read from top to bottom: parent, data, head, loop, test, record."""

import io
import time
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.compute import run_record
from hpc_xfer.compute.distributed.global_batchnorm import recalibrate
from hpc_xfer.compute.downstream import datasets, splits
from hpc_xfer.compute.downstream.datasets import DownstreamData, FingerprintCache
from hpc_xfer.compute.downstream.eval_images import EvalImages
from hpc_xfer.compute.downstream.splits import Indices, Split
from hpc_xfer.compute.finetuning.batches import EpochBatches, FeatureBatches, TuneBatches
from hpc_xfer.compute.finetuning.classifier import (
    Classifier,
    FrozenFeatures,
    accuracies,
    check_class_order,
    extract,
    hits,
    zero_shot_weights,
)
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.loop import TrainResult, train
from hpc_xfer.compute.training.optimizer import adamw, warmup
from hpc_xfer.compute.training.step import Schedule
from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.recipes import Arch, Finetune
from hpc_xfer.errors import DataError
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.system import atomic_files, machine, provenance

_KEPT = 2  # parents and data sets in memory, for the runs of a pack and its neighbours
_WORKERS = 2  # loading processes, if not said otherwise: a crop of a photo takes 5 ms to make
_RECALIBRATION = 1024  # images are plenty for the mean and variance of a channel


def finetune(context: RunContext) -> None:
    """Leave hits.npy and record.json.

    Raises:
        XferError: see training/loop.py; nothing that looks finished is left behind.
    """
    started, begun = provenance.now(), time.monotonic()
    recipe = context.run.recipe
    assert isinstance(recipe, Finetune)
    task = _Finetuning(context, recipe, _parent(context), _data(context, recipe))
    chosen = task.chosen()

    model, zero_shot = task.classifier(chosen)
    outcome = task.train(model, chosen)
    val, test = task.logits(model)

    val_labels = task.labels(task.split.validation)
    test_labels = torch.from_numpy(task.data.test.labels)
    metrics = {
        **{f"val_{name}": value for name, value in accuracies(val, val_labels).items()},
        **{f"test_{name}": value for name, value in accuracies(test, test_labels).items()},
        **zero_shot,
        "n_test": len(test_labels),
        "n_val": len(val_labels),
        "train_images": len(chosen),
        "train_loss": outcome.loss,
        "steps": outcome.steps,
    }
    _write_hits(context, test, test_labels)
    timing = {"seconds": time.monotonic() - begun, "train_seconds": outcome.seconds}
    fingerprints = {"dataset": task.data.fingerprint, "parent": task.parent.fingerprint}
    run_record.write(context, metrics, timing, fingerprints, started)
    Checkpoints(context.dir, context.claim).discard()


@dataclass(frozen=True, eq=False)
class Parent:
    """An encoder as read from the store; a trial trains a copy of its visual tower."""

    arch: Arch
    towers: Towers
    fingerprint: str

    @property
    def size(self) -> int:
        return self.towers.image_size


@dataclass(frozen=True, eq=False)
class _Finetuning:
    """A trial's data and parent, and the steps that need both."""

    context: RunContext
    recipe: Finetune
    parent: Parent
    data: DownstreamData

    @cached_property
    def pulse(self) -> Liveness:
        return _pulse(self.context)

    @cached_property
    def split(self) -> Split:
        return splits.hold_out(
            self.data.train.labels, self.recipe.val_fraction, self.recipe.val_seed
        )

    @property
    def workers(self) -> int:
        """Processes that decode and augment ahead; what lies in memory needs none."""
        asked = self.context.resources.workers
        if self.recipe.mode == "lp":
            return 0
        if asked is None:
            return min(_WORKERS, machine.cores()) if self.data.train.from_files else 0
        return asked

    @property
    def device(self) -> torch.device:
        return self.context.world.device

    def chosen(self) -> Indices:
        """The training images of this draw."""
        if self.recipe.shots == "full":
            return self.split.train
        labels = self.data.train.labels
        return splits.shots(labels, self.split.train, self.recipe.shots, self.recipe.draw)

    def labels(self, chosen: Indices) -> Tensor:
        return torch.from_numpy(self.data.train.labels[chosen])

    def classifier(self, chosen: Indices) -> tuple[Classifier, dict[str, float]]:
        """The parent's encoder with a fresh head, and how good that is before any training."""
        towers, recipe, card = self.parent.towers, self.recipe, self.data.card
        model = Classifier(towers, len(card.classes), recipe.label_smoothing).to(self.device)
        model.standardise(
            self.frozen.train.of(model, chosen, self.device, self.pulse).to(self.device)
        )
        if recipe.head == "zero" or towers.text is None:
            return model, {}
        model.start_from_text(_text_weights(self.parent, card).to(self.device))
        features = self.frozen.train.of(model, self.split.validation, self.device, self.pulse)
        with torch.no_grad():
            logits = model.logits(features.to(self.device)).cpu()
        labels = self.labels(self.split.validation)
        check_class_order(logits, labels, card.classes)
        return model, {"zeroshot_val_top1": accuracies(logits, labels)["top1"]}

    def train(self, model: Classifier, chosen: Indices) -> TrainResult:
        """Everything (ft) or the head alone on frozen features (lp)."""
        recipe, context = self.recipe, self.context
        rounds = EpochBatches(len(chosen), recipe.batch, recipe.epochs, (recipe.seed, recipe.draw))
        steps = min(rounds.steps, recipe.max_steps or rounds.steps)
        batches: FeatureBatches | TuneBatches
        if recipe.mode == "lp":
            model.visual.requires_grad_(False)
            features = self.frozen.train.of(model, chosen, self.device, self.pulse)
            batches = FeatureBatches(features, self.labels(chosen), rounds)
        else:
            batches = TuneBatches(self.data.train, chosen, recipe, self.parent.size, rounds)
        outcome = train(
            model,
            adamw(model, recipe.lr, recipe.weight_decay, (0.9, 0.999), 1e-8),
            batches,
            Schedule(
                steps=steps,
                batch=min(recipe.batch, len(chosen)),
                lr=recipe.lr,
                warmup_steps=warmup(recipe.warmup_steps, steps),
                grad_clip=recipe.grad_clip,
                precision=recipe.precision,
                seed=recipe.seed,
            ),
            replace(context.habits, workers=self.workers),
            context.dir,
            Checkpoints(context.dir, context.claim),
            context.world,
            context.stop,
        )
        if recipe.recalibrate and recipe.mode == "ft":
            self._recalibrate(model, chosen)
        return outcome

    @torch.no_grad()
    def logits(self, model: Classifier) -> tuple[Tensor, Tensor]:
        """Of the validation and of the whole test images, on the CPU."""
        val, test = self.split.validation, np.arange(len(self.data.test))
        if self.recipe.mode == "lp":
            features = (
                self.frozen.train.of(model, val, self.device, self.pulse),
                self.frozen.test.of(model, test, self.device, self.pulse),
            )
        else:
            features = (
                extract(
                    model,
                    self.pulse.with_liveness(self.frozen.train.views.batches(val)),
                    self.device,
                ),
                extract(
                    model,
                    self.pulse.with_liveness(self.frozen.test.views.batches(test)),
                    self.device,
                ),
            )
        model.eval()
        of_val, of_test = (model.logits(part.to(self.device)).cpu() for part in features)
        return of_val, of_test

    @cached_property
    def frozen(self) -> "_Frozen":
        return _frozen(self.parent, self.data)

    def _recalibrate(self, model: Classifier, chosen: Indices) -> None:
        # Of all classes: image folders are sorted by class.
        some = np.random.default_rng((self.recipe.seed, 9)).permutation(chosen)[:_RECALIBRATION]
        batches = self.pulse.with_liveness(self.frozen.train.views.batches(some))
        recalibrate(model.visual, (model.normalise(batch.to(self.device)) for batch in batches))


@dataclass(frozen=True, eq=False)
class _Frozen:
    """What a parent, untouched, makes of a data set; shared by all its trials."""

    train: FrozenFeatures
    test: FrozenFeatures


@lru_cache(maxsize=_KEPT)
def _frozen(parent: Parent, data: DownstreamData) -> _Frozen:
    train, test = _views(data, parent.size)
    return _Frozen(FrozenFeatures(train), FrozenFeatures(test))


@lru_cache(maxsize=_KEPT)
def _views(data: DownstreamData, size: int) -> tuple[EvalImages, EvalImages]:
    return EvalImages(data.train, size), EvalImages(data.test, size)


def _parent(context: RunContext) -> Parent:
    parent = context.run.parents[0]
    if not context.store.is_done(parent):
        raise DataError(f"the parent {parent.id} has no record; launch the study again")
    assert isinstance(context.run.recipe, Finetune)
    folder = context.store.run(parent.id)
    path = folder.product(context.run.recipe.snapshot)
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        raise DataError(
            f"{path}: is gone; delete {folder.path} and launch again, which pre-trains anew"
        ) from None
    return _read_parent(path, changed)


@lru_cache(maxsize=_KEPT)
def _read_parent(path: Path, changed: int) -> Parent:
    arch, towers = encoders.load(path)
    return Parent(arch, towers, atomic_files.sha256(path))


def _pulse(context: RunContext) -> Liveness:
    return Liveness(context.dir, context.claim.check if context.claim else None)


@dataclass(frozen=True)
class _Asked:
    """A data set by name and folder."""

    name: str
    folder: str | None
    knowing: FingerprintCache = field(compare=False)  # of the run that reads it first


def _data(context: RunContext, recipe: Finetune) -> DownstreamData:
    knowing = FingerprintCache(_pulse(context).touch, context.store.fingerprint)
    return _read_data(_Asked(recipe.dataset, context.site.datasets.get(recipe.dataset), knowing))


@lru_cache(maxsize=_KEPT)
def _read_data(asked: _Asked) -> DownstreamData:
    path = Path(asked.folder) if asked.folder else None
    return datasets.load(downstream_datasets.dataset_info(asked.name, path), path, asked.knowing)


@lru_cache(maxsize=_KEPT)
def _text_weights(parent: Parent, card: DatasetInfo) -> Tensor:
    tokenise = encoders.tokenizer(parent.arch)
    return zero_shot_weights(parent.towers, tokenise, card.classes, card.templates)


def _write_hits(context: RunContext, logits: Tensor, labels: Tensor) -> None:
    """One bit per test image in the order of the data set: np.unpackbits(..., count=n_test)."""
    buffer = io.BytesIO()
    np.save(buffer, np.packbits(hits(logits, labels).numpy()))
    assert context.claim is not None
    context.claim.check()
    atomic_files.write_bytes(context.dir.hits, buffer.getvalue())
