"""Runs that AdamW trains: fine-tuning (ft, lp-ft), and the linear head that is not converged."""

from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpc_xfer.compute.distributed.global_batchnorm import recalibrate
from hpc_xfer.compute.downstream.datasets import ImageSet
from hpc_xfer.compute.finetuning.batches import (
    EpochBatches,
    FeatureBatches,
    ImageBatches,
    least_batch,
    needs_loaders,
)
from hpc_xfer.compute.finetuning.classifier import Classifier, extract
from hpc_xfer.compute.finetuning.epoch_selection import EpochSelection
from hpc_xfer.compute.finetuning.measurement import Measurement, hits_file
from hpc_xfer.compute.finetuning.probe_run import head_for_finetuning
from hpc_xfer.compute.finetuning.run_inputs import ChosenImages, RunInputs
from hpc_xfer.compute.finetuning.scoring import named_scores, packed_hits
from hpc_xfer.compute.models.drop_path import set_drop_path
from hpc_xfer.compute.models.frozen_batchnorm import freeze_batchnorm
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.gpu_arithmetic import autocast, products
from hpc_xfer.compute.training.loop import TrainResult, train
from hpc_xfer.compute.training.optimizer import adamw, warmup
from hpc_xfer.compute.training.step import Schedule
from hpc_xfer.config.finetune_recipes import AdamWFinetune, FullFinetune, ProbeThenFinetune

_WORTH = 200  # images that make a loading process worth its start: a second of RandAugment
_RECALIBRATION = 1024  # images; enough for the mean and variance of a channel


def measure(inputs: RunInputs, recipe: AdamWFinetune) -> Measurement:
    """Train a classifier on the images of the draw, and measure it.

    Raises:
        XferError: see training/loop.py.
    """
    run = _TrainedRun(inputs, recipe)
    return run.measure()


class _TrainedRun:
    """The steps of one run: head, training, logits."""

    def __init__(self, inputs: RunInputs, recipe: AdamWFinetune) -> None:
        self.inputs, self.recipe, self.context = inputs, recipe, inputs.context
        self.trains_encoder = recipe.trains_encoder
        self.least = least_batch(recipe, inputs.parent.towers.visual, len(inputs.train))

    def measure(self) -> Measurement:
        model, start = _classifier(self.inputs, self.recipe)
        selection = self._epoch_selection(model)
        result = self._train(model, selection)
        found = self._all_logits(model) if selection is None else selection.logits()
        metrics: dict[str, Any] = {}
        for name, labels in self._labels.items():
            metrics |= named_scores(name, found[name], labels)
        metrics |= start | ({} if selection is None else selection.summary())
        metrics |= {"train_loss": result.loss, "loss_steps": result.loss_steps}
        metrics |= {"steps": result.steps}
        hits = hits_file(packed_hits(found["test"], self._labels["test"]))
        return Measurement(
            metrics,
            hits,
            train_seconds=result.seconds,
            data_wait_seconds=result.data_wait_seconds,
        )

    @cached_property
    def _measured_on(self) -> dict[str, ChosenImages]:
        """Validation, test and further test sets, by the prefix of their scores."""
        inputs = self.inputs
        validation = {"val": inputs.validation} if len(inputs.validation) else {}
        return {**validation, "test": inputs.test, **inputs.further}

    @cached_property
    def _labels(self) -> dict[str, Tensor]:
        return {name: subset.labels for name, subset in self._measured_on.items()}

    def _all_logits(self, model: Classifier) -> dict[str, Tensor]:
        return {name: self._logits(model, subset) for name, subset in self._measured_on.items()}

    def _train(self, model: Classifier, selection: EpochSelection | None) -> TrainResult:
        recipe, context, n = self.recipe, self.context, len(self.inputs.train)
        seed = (recipe.seed, recipe.draw)
        epochs = EpochBatches(n, recipe.batch, recipe.epochs, seed, self.least)
        steps = max(epochs.steps, recipe.min_steps or 0)
        steps = min(steps, recipe.max_steps or steps)
        self._prepare_encoder(model)
        decay = recipe.layer_decay if isinstance(recipe, FullFinetune) else None
        everywhere = isinstance(recipe, FullFinetune) and recipe.decay_all
        result = train(
            model,
            adamw(
                model, recipe.lr, recipe.weight_decay, (0.9, 0.999), 1e-8,
                layer_decay=decay, decay_all=everywhere,
            ),
            self._batches(epochs),
            Schedule(
                steps=steps,
                batch=min(recipe.batch, n),
                lr=recipe.lr,
                warmup_steps=warmup(recipe.warmup_steps, steps, recipe.warmup_cap),
                grad_clip=recipe.grad_clip,
                precision=recipe.precision,
                seed=recipe.seed,
            ),
            replace(context.loop_options, workers=self._workers(steps)),
            context.dir,
            Checkpoints(context.dir, context.claim),
            context.world,
            context.stop,
            at=selection.hooks(epochs.steps_per_epoch, steps) if selection is not None else None,
        )  # fmt: skip
        if recipe.batch_norm == "recalibrate" and self.trains_encoder:
            self._recalibrate(model)
        return result

    def _prepare_encoder(self, model: Classifier) -> None:
        recipe = self.recipe
        if not self.trains_encoder:
            model.visual.requires_grad_(False)
            return
        if isinstance(recipe, FullFinetune) and recipe.drop_path:
            set_drop_path(model.visual, recipe.drop_path)
        if recipe.batch_norm == "frozen":
            freeze_batchnorm(model.visual)

    def _batches(self, epochs: EpochBatches) -> FeatureBatches | ImageBatches:
        inputs = self.inputs
        if not self.trains_encoder:
            features = inputs.train.features(inputs.liveness)
            return FeatureBatches(features, inputs.train.labels, epochs)
        return ImageBatches(
            self._training_images, inputs.train.chosen, self.recipe, inputs.parent.size, epochs
        )

    @cached_property
    def _training_images(self) -> ImageSet:
        """The images to train on; few of them stay decoded in memory."""
        inputs = self.inputs
        return self.context.cache.training_images(
            inputs.data.train, inputs.train.chosen, inputs.liveness
        )

    def _workers(self, steps: int) -> int:
        """Number of processes that decode and augment ahead; images in memory need none."""
        if not self.trains_encoder:
            return 0
        if self.context.resources.workers is not None:
            return self.context.resources.workers
        batch = min(self.recipe.batch, len(self.inputs.train))
        if not needs_loaders(self._training_images, self.recipe.batch, self.inputs.device):
            return 0
        return min(self.context.workers, -(-steps * batch // _WORTH))

    @torch.no_grad()
    def _logits(self, model: Classifier, subset: ChosenImages) -> Tensor:
        """Logits (n, classes) of a subset, on the CPU."""
        inputs = self.inputs
        if not self.trains_encoder:
            features = subset.features(inputs.liveness)
        else:
            batches = subset.batches(inputs.liveness.touch)
            features = extract(model, batches, inputs.device, self.recipe.precision)
        model.eval()
        return model.logits(features.to(inputs.device)).cpu()

    def _recalibrate(self, model: Classifier) -> None:
        # A random choice: image folders are sorted by class.
        inputs, chosen = self.inputs, self.inputs.train.chosen
        some = np.random.default_rng((self.recipe.seed, 9)).permutation(chosen)[:_RECALIBRATION]
        batches = replace(inputs.train, chosen=some).batches(inputs.liveness.touch)
        device, precision = inputs.device, inputs.extraction.effective_precision
        with products(device, precision), autocast(device, precision):
            recalibrate(model.visual, (model.normalize(batch.to(device)) for batch in batches))

    def _epoch_selection(self, model: Classifier) -> EpochSelection | None:
        """The best epoch on the test set, for `protocol: paper`."""
        recipe, context = self.recipe, self.context
        if not isinstance(recipe, FullFinetune) or recipe.select != "test":
            return None
        assert context.claim is not None
        measure = partial(self._all_logits, model)
        return EpochSelection(model, measure, self._labels, context.dir, context.claim.check)


def _classifier(inputs: RunInputs, recipe: AdamWFinetune) -> tuple[Classifier, dict[str, Any]]:
    """The parent's encoder with a new head, how the head starts, and what it measured then."""
    towers = inputs.parent.towers
    classes = len(inputs.data.info.classes)
    model = Classifier(towers, classes, recipe.label_smoothing).to(inputs.device)
    model.standardize(_frozen_features(inputs, model, inputs.train).to(inputs.device))
    if isinstance(recipe, ProbeThenFinetune):
        weights, bias, found = head_for_finetuning(inputs, recipe)
        model.start_from(weights.to(inputs.device), bias.to(inputs.device))
        return model, found
    if recipe.head == "zero" or towers.text is None:
        return model, {}
    if not inputs.data.info.meaningful_names:  # text that means nothing is a start from noise
        inputs.check_words()  # where the classes are named now, runs to come would start otherwise
        return model, {"head_start": "zero"}
    model.start_from(inputs.text_weights())
    start = {"head_start": "text"}
    if not len(inputs.validation):
        return model, start
    features = _frozen_features(inputs, model, inputs.validation)
    with torch.no_grad():
        logits = model.logits(features.to(inputs.device)).cpu()
    scores = named_scores("zeroshot_val", logits, inputs.validation.labels)
    return model, start | {"zeroshot_val_top1": scores["zeroshot_val_top1"]}


def _frozen_features(inputs: RunInputs, model: Classifier, images: ChosenImages) -> Tensor:
    """Features (n, dim) of the untrained encoder: few are computed alone, many kept on disk."""
    if inputs.recipe.trains_encoder and inputs.recipe.shots != "full":
        return images.frozen.of(model, images.chosen, inputs.device, inputs.liveness)
    return images.features(inputs.liveness)
