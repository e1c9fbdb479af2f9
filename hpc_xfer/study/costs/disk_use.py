"""Estimate the disk and the number of files that runs and studies leave.

Folders count as files here: a quota of inodes counts both.
"""

from dataclasses import dataclass

from hpc_xfer.config import architectures
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import ImageText, Pretrain, Tower, Trained, encoder_points
from hpc_xfer.study.costs.ranges import NOTHING, Range, exactly

_WEIGHT = 4  # bytes in fp32
_PRODUCT = 2 * _WEIGHT  # encoder.pt and encoder.safetensors
_KEPT_CHECKPOINTS = 2  # the last and the one before, while a run works
_STATES = 3  # a weight and both moments of AdamW
_SMALL = Range(20e3, 5e6)  # bytes of a pre-training's records, curves and events; assumed
_TRIAL = Range(3e3, 10e3)  # of a fine-tuning: recipe, record, claim, one bit per test image
# Its folder, recipe.json, claims/1.json, record.json and hits.npy, then what long runs add.
TRIAL_FILES = Range(5, 7)
# The same and encoder.pt, encoder.safetensors, metrics.jsonl, tb/ with its events, init.json.
_PRETRAIN_FILES = Range(9, 14)
ARRAY_FILES = Range(1, 3)  # manifest, script, a line in the ledger
ELEMENT_FILES = Range(1, 2)  # its log, a second one where it was requeued
# Copy of the package that jobs run, tables, figures, report; counted once per study, assumed.
STUDY_FILES = Range(300, 600)
STUDY_BYTES = Range(5e6, 60e6)
LOG_BYTES = Range(2e3, 50e3)  # of an element


@dataclass(frozen=True)
class DiskUse:
    """Bytes and files that a run leaves, and the bytes that it needs beside while it works."""

    final: Range = NOTHING
    files: Range = NOTHING
    while_running: float = 0.0


def finetune_disk() -> DiskUse:
    return DiskUse(_TRIAL, TRIAL_FILES)


def pretrain_disk(recipe: Pretrain) -> DiskUse | None:
    """The disk of a pre-training; None where its weights cannot be counted (timm towers)."""
    towers = weights_of(recipe)
    if towers is None:
        return None
    total, snapshots = sum(towers.values()), len(encoder_points(recipe)) - 1
    final = exactly(total * (_PRODUCT + _WEIGHT * snapshots))
    files = _PRETRAIN_FILES + exactly(snapshots + bool(snapshots))
    if not isinstance(recipe, Trained):
        return DiskUse(final + _TRIAL, TRIAL_FILES + exactly(2))
    locked = recipe.lock if isinstance(recipe, ImageText) else None
    checkpoint = sum(
        number * _WEIGHT * (1 if tower == locked else _STATES) for tower, number in towers.items()
    )
    return DiskUse(final + _SMALL, files, _KEPT_CHECKPOINTS * checkpoint)


def weights_of(recipe: Pretrain) -> dict[Tower, int] | None:
    """Count the weights of the towers that a recipe makes; None if they cannot be counted."""
    assert not isinstance(recipe, Finetune)
    towers = architectures.parameters(recipe.arch)
    if towers is None:
        return None
    image, text = towers
    return {"image": image, "text": text} if recipe.uses_text else {"image": image}
