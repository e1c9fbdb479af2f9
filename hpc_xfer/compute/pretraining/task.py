"""Execute one pre-training: data, model, training loop, encoder, record."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc_xfer.compute import run_record
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.models import encoders, flops, pretrained_weights, safetensors_export
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.models.frozen_batchnorm import has_batchnorm
from hpc_xfer.compute.models.patch_dropout import drop_patches
from hpc_xfer.compute.pretraining import snapshots, training_set
from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.pretraining.initial_weights import agreed, load_initial
from hpc_xfer.compute.pretraining.knn_probe import KnnProbe
from hpc_xfer.compute.pretraining.objectives import PretrainObjective, make_objective
from hpc_xfer.compute.pretraining.training_set import TrainingSet
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.loop import Hook, TrainResult, train
from hpc_xfer.compute.training.optimizer import adamw, warmup
from hpc_xfer.compute.training.step import Schedule
from hpc_xfer.config import architectures, downstream_datasets
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Pretrain, Released, Scratch, Trained
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.errors import AgreedDataError, Diverged
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.study.preflight.batch_checks import one_image
from hpc_xfer.system import provenance


def pretrain(context: RunContext) -> None:
    """Write encoder.pt, encoder.safetensors, the recipe's snapshots, and record.json.

    Raises:
        XferError: see training/loop.py; no file is left that looks finished.
    """
    started, begun = provenance.now(), time.monotonic()
    recipe = context.run.recipe
    assert not isinstance(recipe, Finetune)
    data: dict[str, Any] = {}
    outcome = TrainResult(loss=0.0)
    if isinstance(recipe, Trained):
        sources = training_set.load(context, recipe)
        data = sources.facts()
        towers = encoders.build(recipe.arch, recipe.seed, with_text=recipe.uses_text)
        checkpoints = Checkpoints(context.dir, context.claim)
        data |= load_initial(context, recipe, towers, checkpoints)
        if recipe.patch_dropout is not None:
            drop_patches(towers.visual, recipe.patch_dropout)
        outcome = _train(context, recipe, sources, towers, checkpoints)
    else:
        towers, data = _untrained(context, recipe)

    if not context.world.is_rank_zero:
        return
    assert context.claim is not None
    context.claim.check()
    if (broken := encoders.not_finite(towers)) is not None:
        raise Diverged(f"the encoder is not finite in {broken}; lower lr")
    products = {context.dir.encoder.name: encoders.save(context.dir.encoder, recipe.arch, towers)}
    products |= snapshots.digests(context.dir, recipe)
    safetensors_export.write(context.dir.safetensors, recipe.arch, towers)
    timing = {
        "seconds": time.monotonic() - begun,
        "train_seconds": outcome.seconds,
        "data_wait_seconds": outcome.data_wait_seconds,
    }
    metrics = _metrics(recipe, outcome, towers)
    discard = Checkpoints(context.dir, context.claim).discard
    run_record.write(context, metrics, timing, data, started, products=products, afterwards=discard)


def _check_ranks(recipe: Trained, world: World) -> None:
    """Refuse another number of processes than the result was planned for.

    Raises:
        AgreedDataError: with the way out.
    """
    if recipe.ranks not in (None, world.size):
        raise AgreedDataError(
            f"batchnorm: per-gpu was planned for {recipe.ranks} processes, which decide the "
            f"result, and there are {world.size} here; run it where there are {recipe.ranks} GPUs, "
            f"or set resources.pretrain.gpus to {world.size}, which makes another run"
        )


def _train(
    context: RunContext,
    recipe: Trained,
    sources: TrainingSet,
    towers: Towers,
    checkpoints: Checkpoints,
) -> TrainResult:
    world = context.world
    _check_ranks(recipe, world)
    if recipe.batch % (world.size * (recipe.accumulate or 1)):
        parts = f" in {recipe.accumulate} parts each" if recipe.accumulate else ""
        raise AgreedDataError(
            f"batch {recipe.batch} cannot be split evenly over {world.size} processes{parts}; "
            "change resources.pretrain.gpus"
        )
    batches = _batches(recipe, sources, world)
    steps = recipe.steps_of(recipe.samples_seen)
    options = replace(context.loop_options, flops_per_sample=flops.per_sample(recipe, towers))
    objective = make_objective(recipe, towers, len(sources.classes or ()), world)
    if has_batchnorm(objective) and (why := one_image(recipe)):
        raise AgreedDataError(f"batch: {why}")
    # The checkpoint holds what the optimizer updates, so both are made before it is read.
    objective = objective.to(world.device)
    optimizer = adamw(objective, recipe.lr, recipe.weight_decay, recipe.betas, recipe.eps)

    def save(path: Path) -> None:
        objective.write_heads(towers, sources.classes)
        encoders.save(path, recipe.arch, towers)

    outcome = train(
        objective,
        optimizer,
        batches,
        Schedule(
            steps=steps,
            batch=recipe.batch,
            lr=recipe.lr,
            warmup_steps=warmup(recipe.warmup_steps, steps),
            grad_clip=recipe.grad_clip,
            precision=recipe.precision,
            seed=recipe.seed,
            broken_allowed=int(recipe.max_broken * recipe.samples_seen),
            accumulate=recipe.accumulate or 1,
            global_norms=recipe.batchnorm is None,
        ),
        options,
        context.dir,
        checkpoints,
        world,
        context.stop,
        _merged(
            snapshots.hooks(context.dir, recipe, context.claim, save),
            _probes(context, recipe, objective, towers),
        ),
    )
    objective.write_heads(towers, sources.classes)
    return outcome


def _batches(recipe: Trained, sources: TrainingSet, world: World) -> TrainBatches:
    return TrainBatches(
        index=sources.indexes,
        order=sources.order,
        recipe=recipe,
        size=architectures.image_size(recipe.arch),
        rank=world.rank,
        ranks=world.size,
        tokenize=encoders.tokenizer(recipe.arch) if recipe.uses_text else None,
    )


def _probes(
    context: RunContext, recipe: Trained, objective: PretrainObjective, towers: Towers
) -> dict[int, Hook]:
    """Map steps to k-NN probes, as the resources ask."""
    assert isinstance(context.resources, PretrainResources)
    settings = context.resources.probe
    if settings is None:
        return {}
    place = context.site.dataset(settings.dataset)
    check = context.claim.check if context.claim else None
    liveness = Liveness(context.dir if context.world.is_rank_zero else None, check)
    world, precision = context.world, recipe.precision

    def made() -> KnnProbe:
        info = downstream_datasets.dataset_info(settings.dataset, place)
        images = datasets.training_images(info, place, liveness.touch)
        probe = KnnProbe(objective, images, towers, settings.images, world, precision, liveness)
        probe.decode()
        return probe

    probe = agreed(world, made)

    def measure() -> dict[str, float]:
        return {f"knn_top1_{settings.dataset}": probe.accuracy()}

    steps = recipe.steps_of(recipe.samples_seen)
    return {
        max(1, round(steps * i / settings.times)): measure for i in range(1, settings.times + 1)
    }


def _merged(*all_hooks: dict[int, Hook]) -> dict[int, list[Hook]]:
    at: dict[int, list[Hook]] = {}
    for hooks in all_hooks:
        for step, hook in hooks.items():
            at.setdefault(step, []).append(hook)
    return at


def _untrained(context: RunContext, recipe: Pretrain) -> tuple[Towers, dict[str, Any]]:
    """Return the towers, and what the record tells of released weights."""
    if isinstance(recipe, Scratch):
        return encoders.build(recipe.arch, recipe.seed, with_text=False), {}
    assert isinstance(recipe, Released)
    entry = context.site.weights(recipe.weights)
    weights = pretrained_weights.read(recipe.arch, recipe.weights, entry)
    towers, loaded = pretrained_weights.whole(recipe.arch, weights)
    told = pretrained_weights.told(weights, towers, loaded)
    return towers, {"weights": {"name": recipe.weights, **told}}


def _metrics(recipe: Pretrain, outcome: TrainResult, towers: Towers) -> dict[str, Any]:
    """Collect the metrics of the record; an untrained encoder has no loss and no speed."""
    weights = sum(p.numel() for p in towers.visual.parameters())
    if not isinstance(recipe, Trained):
        return {"samples_seen": 0, "skipped_samples": 0, "visual_parameters": weights}
    return {
        "samples_seen": outcome.steps * recipe.batch,
        "steps": outcome.steps,
        **_snapshots_seen(recipe),
        "final_loss": outcome.loss,
        "loss_steps": outcome.loss_steps,
        "samples_per_second": round(outcome.samples_per_second, 1),
        "skipped_samples": outcome.broken.total,
        "broken": outcome.broken.examples,
        "broken_by_shard": outcome.broken.shards,
        "dropped_per_epoch": recipe.samples % recipe.batch,
        "ranks": [{"from_step": step, "ranks": ranks} for step, ranks in outcome.worlds],
        "visual_parameters": weights,
    }


def _snapshots_seen(recipe: Trained) -> dict[str, Any]:
    """Count the samples that each snapshot has really seen: those of whole steps."""
    if not recipe.snapshots:
        return {}
    return {"snapshots": {str(n): recipe.steps_of(n) * recipe.batch for n in recipe.snapshots}}
