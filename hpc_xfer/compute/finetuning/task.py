"""One fine-tuning trial from top to bottom: parent, data, head, training, test, record."""

import io
import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.compute import run_record
from hpc_xfer.compute.distributed.global_batchnorm import recalibrate
from hpc_xfer.compute.downstream import splits
from hpc_xfer.compute.downstream.datasets import DownstreamData, FingerprintCache
from hpc_xfer.compute.downstream.splits import Indices, Split
from hpc_xfer.compute.finetuning.batches import EpochBatches, FeatureBatches, ImageBatches
from hpc_xfer.compute.finetuning.cache import FrozenFeatures, Parent, SplitFeatures
from hpc_xfer.compute.finetuning.classifier import (
    Classifier,
    accuracies,
    check_class_order,
    extract,
    hits,
)
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.loop import TrainResult, train
from hpc_xfer.compute.training.optimizer import adamw, warmup
from hpc_xfer.compute.training.step import Schedule
from hpc_xfer.config.recipes import Finetune
from hpc_xfer.errors import DataError
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.system import atomic_files, machine, provenance

_WORKERS = 2  # loading processes by default: it takes 5 ms to decode and crop a photo
_RECALIBRATION = 1024  # images; enough for the mean and variance of a channel


def finetune(context: RunContext) -> None:
    """Train and test a classifier; write hits.npy and record.json.

    Raises:
        XferError: see training/loop.py; no record is written then.
    """
    started, begun = provenance.now(), time.monotonic()
    recipe = context.run.recipe
    assert isinstance(recipe, Finetune)
    task = _prepare(context, recipe)
    chosen = task.chosen()

    model, zero_shot = task.classifier(chosen)
    result = task.train(model, chosen)
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
        "train_loss": result.loss,
        "steps": result.steps,
    }
    _write_hits(context, test, test_labels)
    timing = {"seconds": time.monotonic() - begun, "train_seconds": result.seconds}
    fingerprints = {"dataset": task.data.fingerprint, "parent": task.parent.fingerprint}
    run_record.write(context, metrics, timing, fingerprints, started)
    Checkpoints(context.dir, context.claim).discard()


@dataclass(frozen=True, eq=False)
class _Finetuning:
    """The parent and the data of a trial, and the steps that need them."""

    context: RunContext
    recipe: Finetune
    liveness: Liveness
    parent: Parent
    data: DownstreamData

    @cached_property
    def features(self) -> SplitFeatures:
        return self.context.cache.features(self.parent, self.data)

    @cached_property
    def split(self) -> Split:
        return splits.hold_out(
            self.data.train.labels, self.recipe.val_fraction, self.recipe.val_seed
        )

    @property
    def workers(self) -> int:
        """Number of processes that decode and augment ahead; images in memory need none."""
        wanted = self.context.resources.workers
        if self.recipe.mode == "lp":
            return 0
        if wanted is None:
            return min(_WORKERS, machine.cores()) if self.data.train.from_files else 0
        return wanted

    @property
    def device(self) -> torch.device:
        return self.context.world.device

    def chosen(self) -> Indices:
        """Training images of this draw, as indices into the training split."""
        if self.recipe.shots == "full":
            return self.split.train
        labels = self.data.train.labels
        return splits.shots(labels, self.split.train, self.recipe.shots, self.recipe.draw)

    def labels(self, chosen: Indices) -> Tensor:
        return torch.from_numpy(self.data.train.labels[chosen])

    def classifier(self, chosen: Indices) -> tuple[Classifier, dict[str, float]]:
        """The parent's encoder with a new head, and the zero-shot accuracy if there is text."""
        towers, recipe, info = self.parent.towers, self.recipe, self.data.info
        model = Classifier(towers, len(info.classes), recipe.label_smoothing).to(self.device)
        frozen = self.features.train
        model.standardize(frozen.of(model, chosen, self.device, self.liveness).to(self.device))
        if recipe.head == "zero" or towers.text is None:
            return model, {}
        weights = self.context.cache.text_weights(self.parent, info, self.liveness)
        model.start_from_text(weights.to(self.device))
        features = frozen.of(model, self.split.validation, self.device, self.liveness)
        with torch.no_grad():
            logits = model.logits(features.to(self.device)).cpu()
        labels = self.labels(self.split.validation)
        check_class_order(logits, labels, info.classes)
        return model, {"zeroshot_val_top1": accuracies(logits, labels)["top1"]}

    def train(self, model: Classifier, chosen: Indices) -> TrainResult:
        """Train all weights (ft), or the head alone on frozen features (lp)."""
        recipe, context = self.recipe, self.context
        epochs = EpochBatches(len(chosen), recipe.batch, recipe.epochs, (recipe.seed, recipe.draw))
        steps = min(epochs.steps, recipe.max_steps or epochs.steps)
        batches: FeatureBatches | ImageBatches
        if recipe.mode == "lp":
            model.visual.requires_grad_(False)
            features = self.features.train.of(model, chosen, self.device, self.liveness)
            batches = FeatureBatches(features, self.labels(chosen), epochs)
        else:
            batches = ImageBatches(self.data.train, chosen, recipe, self.parent.size, epochs)
        result = train(
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
            replace(context.loop_options, workers=self.workers),
            context.dir,
            Checkpoints(context.dir, context.claim),
            context.world,
            context.stop,
        )
        if recipe.recalibrate and recipe.mode == "ft":
            self._recalibrate(model, chosen)
        return result

    @torch.no_grad()
    def logits(self, model: Classifier) -> tuple[Tensor, Tensor]:
        """Logits of the validation images and of all test images, on the CPU."""
        val = self._logits(model, self.features.train, self.split.validation)
        test = self._logits(model, self.features.test, np.arange(len(self.data.test)))
        return val, test

    def _logits(self, model: Classifier, frozen: FrozenFeatures, chosen: Indices) -> Tensor:
        if self.recipe.mode == "lp":
            features = frozen.of(model, chosen, self.device, self.liveness)
        else:
            batches = self.liveness.with_liveness(frozen.images.batches(chosen))
            features = extract(model, batches, self.device)
        model.eval()
        return model.logits(features.to(self.device)).cpu()

    def _recalibrate(self, model: Classifier, chosen: Indices) -> None:
        # A random choice: image folders are sorted by class.
        some = np.random.default_rng((self.recipe.seed, 9)).permutation(chosen)[:_RECALIBRATION]
        batches = self.liveness.with_liveness(self.features.train.images.batches(some))
        recalibrate(model.visual, (model.normalize(batch.to(self.device)) for batch in batches))


def _prepare(context: RunContext, recipe: Finetune) -> _Finetuning:
    liveness = Liveness(context.dir, context.claim.check if context.claim else None)
    fingerprints = FingerprintCache(liveness.touch, context.store.fingerprint)
    parent = _parent(context, recipe)
    data = context.cache.dataset(recipe.dataset, context.site.dataset(recipe.dataset), fingerprints)
    return _Finetuning(context, recipe, liveness, parent, data)


def _parent(context: RunContext, recipe: Finetune) -> Parent:
    parent = context.run.parents[0]
    if not context.store.is_done(parent):
        raise DataError(f"the parent {parent.id} has no record; launch the study again")
    folder = context.store.run(parent.id)
    path = folder.product(recipe.snapshot)
    try:
        return context.cache.parent(path)
    except FileNotFoundError:
        raise DataError(
            f"{path}: is missing; delete {folder.path} and launch again to repeat the pre-training"
        ) from None


def _write_hits(context: RunContext, logits: Tensor, labels: Tensor) -> None:
    """Write one bit per test image, in the order of the data set.

    To read it: np.unpackbits(np.load(path), count=n_test).
    """
    buffer = io.BytesIO()
    np.save(buffer, np.packbits(hits(logits, labels).numpy()))
    assert context.claim is not None
    context.claim.check()
    atomic_files.write_bytes(context.dir.hits, buffer.getvalue())
