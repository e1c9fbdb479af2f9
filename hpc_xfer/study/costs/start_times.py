"""Seconds that a job needs before its first run works, and after its last. All are assumed."""

from typing import Literal

from hpc_xfer.study.costs.ranges import Range

# Imports, ranks that join, opening shards, compiling kernels; the last checkpoint and the encoder.
# Some ten seconds on a quiet cluster, minutes where the file system is slow.
PRETRAIN_START = Range(20.0, 180.0)
# Python, torch, open_clip (8 s on two slow cores), the encoder.
FINETUNE_START = Range(10.0, 60.0)


def start_of(kind: Literal["pretrain", "finetune"]) -> Range:
    return PRETRAIN_START if kind == "pretrain" else FINETUNE_START
