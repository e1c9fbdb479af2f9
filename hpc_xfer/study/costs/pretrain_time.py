"""Estimate how long a pre-training takes: FLOPs of its samples, or what its CPUs can load.

seconds = pretrain_seconds(recipe, 8, speed, loaders=7) + PRETRAIN_START
"""

from hpc_xfer.config.recipes import ImageText, Trained
from hpc_xfer.study.architecture_costs import tower_costs
from hpc_xfer.study.costs.host_pace import DECODE_SECONDS, FAST_DECODE_SECONDS
from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.costs.training_speed import TrainingSpeed

_PASSES = 3  # forward, and a backward of two
_RECOMPUTED_PASSES = 4  # activation checkpointing runs the forward pass again
# Images per second of a loading process. Each view is cropped and distorted anew.
LOADED = Range(1 / DECODE_SECONDS, 1 / FAST_DECODE_SECONDS)


def sample_flops(recipe: Trained, recomputes: bool = False) -> float:
    """FLOPs of a sample; a locked tower has no backward pass.

    Args:
        recomputes: activations are computed again in the backward pass.
    """
    tower = tower_costs(recipe.arch, recipe.patch_dropout)
    locked = recipe.lock if isinstance(recipe, ImageText) else None
    passes = _RECOMPUTED_PASSES if recomputes else _PASSES
    image = recipe.views * tower.flops * (1 if locked == "image" else passes)
    text = recipe.uses_text * tower.text_flops * (1 if locked == "text" else passes)
    return image + text


def samples_per_second(
    recipe: Trained, speed: TrainingSpeed, loaders: int, recomputes: bool = False
) -> Range:
    """Samples per second of one GPU: what it computes, or what its processes load if less."""
    computed = speed.of(recipe.precision).scaled(1 / sample_flops(recipe, recomputes))
    return computed.at_most(LOADED.scaled(max(1, loaders) / recipe.views))


def waits_for_loading(
    recipe: Trained, speed: TrainingSpeed, loaders: int, recomputes: bool = False
) -> bool:
    """Tell whether loading, not the GPU, decides at one end of the range."""
    computed = speed.of(recipe.precision).scaled(1 / sample_flops(recipe, recomputes))
    loaded = LOADED.scaled(max(1, loaders) / recipe.views)
    return loaded.low < computed.low or loaded.high < computed.high


def pretrain_seconds(
    recipe: Trained,
    gpus: int,
    speed: TrainingSpeed,
    loaders: int,
    recomputes: bool = False,
    measured: Range | None = None,
) -> Range:
    """Seconds of a whole run without interruptions and without PRETRAIN_START.

    Args:
        measured: samples per second of one GPU in finished runs of this kind.
    """
    rate = measured or samples_per_second(recipe, speed, loaders, recomputes)
    return rate.inverse(recipe.samples_seen / gpus)
