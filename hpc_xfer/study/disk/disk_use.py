"""Estimate the disk and the number of files that runs and studies leave.

Folders count as files here: a quota of inodes counts both.
"""

import itertools
from dataclasses import dataclass

from hpc_xfer.config import architectures
from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune
from hpc_xfer.config.recipes import ImageText, Pretrain, SimCLR, Tower, Trained, encoder_points
from hpc_xfer.study.architecture_costs import tower_costs
from hpc_xfer.study.costs.ranges import NOTHING, Range, exactly

_WEIGHT = 4  # bytes in fp32
_PRODUCT = 2 * _WEIGHT  # encoder.pt and encoder.safetensors
_CHECKPOINTS = 3  # at most, while a run works: the last, the one before, and the one being written
_STATES = 3  # a weight and both moments of AdamW
_SMALL = Range(20e3, 5e6)  # bytes of a pre-training's records, curves and events; assumed
_TRIAL = Range(3e3, 12e3)  # of a fine-tuning: record, one bit per test image; assumed
# docs/store.md counts them: folder, record.json, hits.npy, and metrics.jsonl of what AdamW trains.
_PROBE_FILES, _TRAINED_FILES = exactly(3), exactly(4)
# The same with recipe.json, claims/1.json, progress.json, tb/ with its events, encoder.pt and
# encoder.safetensors; init.json and a second file of events where it was interrupted.
_PRETRAIN_FILES = Range(11, 14)
_UNTRAINED_FILES = Range(7, 9)
ARRAY_FILES = Range(1, 2)  # manifest, script
ELEMENT_FILES = Range(1, 2)  # its log, a second one where it was requeued
STUDY_FILES = Range(50, 200)  # tables, figures, report, curves; assumed
STUDY_BYTES = Range(1e6, 60e6)
STORE_FILES = Range(700, 1300)  # the copy of the package that jobs run, with its byte code or not
STORE_BYTES = Range(5e6, 12e6)
LOG_BYTES = Range(2e3, 50e3)  # of an element


@dataclass(frozen=True)
class DiskUse:
    """Bytes and files that a run leaves, and the bytes that it needs beside while it works."""

    final: Range = NOTHING
    files: Range = NOTHING
    while_running: float = 0.0


def finetune_disk(recipe: Finetune, parent: Pretrain, is_long: bool) -> DiskUse:
    """The disk of a fine-tuning.

    Args:
        is_long: it takes longer than `checkpoint_minutes`; a short one leaves no checkpoint.
    """
    if not isinstance(recipe, AdamWFinetune):
        return DiskUse(_TRIAL, _PROBE_FILES)
    towers = architectures.parameters(parent.arch) if recipe.trains_encoder and is_long else None
    weights = 0 if towers is None else towers[0]
    return DiskUse(_TRIAL, _TRAINED_FILES, _CHECKPOINTS * _STATES * _WEIGHT * weights)


def pretrain_disk(recipe: Pretrain) -> DiskUse | None:
    """The disk of a pre-training; None where its weights cannot be counted (timm towers)."""
    towers = weights_of(recipe)
    if towers is None:
        return None
    files = pretrain_files(recipe)
    total, snapshots = sum(towers.values()), len(encoder_points(recipe)) - 1
    final = exactly(total * (_PRODUCT + _WEIGHT * snapshots))
    if not isinstance(recipe, Trained):
        return DiskUse(final + _TRIAL, files)
    locked = recipe.lock if isinstance(recipe, ImageText) else None
    checkpoint = sum(
        number * _WEIGHT * (1 if tower == locked else _STATES) for tower, number in towers.items()
    )
    checkpoint += _STATES * _WEIGHT * _head_weights(recipe)
    return DiskUse(final + _SMALL, files, _CHECKPOINTS * checkpoint)


def pretrain_files(recipe: Pretrain) -> Range:
    """The files that a pre-training leaves."""
    if not isinstance(recipe, Trained):
        return _UNTRAINED_FILES
    snapshots = len(encoder_points(recipe)) - 1
    return _PRETRAIN_FILES + exactly(snapshots + bool(snapshots))


def _head_weights(recipe: Trained) -> int:
    """Count the weights of SimCLR's projection, which no product has; other heads are small."""
    if not isinstance(recipe, SimCLR):
        return 0
    widths = (tower_costs(recipe.arch).features, *recipe.projection)
    return sum(inside * outside for inside, outside in itertools.pairwise(widths))


def weights_of(recipe: Pretrain) -> dict[Tower, int] | None:
    """Count the weights of the towers that a recipe makes; None if they cannot be counted."""
    assert not isinstance(recipe, Finetune)
    towers = architectures.parameters(recipe.arch)
    if towers is None:
        return None
    image, text = towers
    return {"image": image, "text": text} if recipe.uses_text else {"image": image}
