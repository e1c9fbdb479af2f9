"""Seconds that hosts need: starts of jobs, files, steps that hardly compute. All are assumed.

What was measured stands beside it; the rest is a guess that the first finished runs replace.
"""

from dataclasses import dataclass
from typing import Literal

from hpc_xfer.study.costs.ranges import Range

# Imports, ranks that join, opening shards, compiling kernels; the last checkpoint and the encoder.
# Some ten seconds on a quiet cluster, minutes where the file system is slow.
PRETRAIN_START = Range(20.0, 180.0)
# Python, torch, open_clip (8 s on two slow cores), the encoder.
FINETUNE_START = Range(10.0, 60.0)
CORE_SOLVER_FLOPS = 1e10  # FLOP/s of a core in float64; measured with probes of 20 shots
# Seconds to load an image file on one core: 200 photos of about 500 px or 1,280 JPEGs of 256 to
# 384 px per second; see docs/cost.md.
DECODE_SECONDS = 1 / 200
FAST_DECODE_SECONDS = 1 / 1280


def start_of(kind: Literal["pretrain", "finetune"]) -> Range:
    return PRETRAIN_START if kind == "pretrain" else FINETUNE_START


@dataclass(frozen=True)
class HostPace:
    """Seconds of a fine-tuning that the GPU does not decide."""

    decode: float = DECODE_SECONDS  # of an image file on one core
    augment: float = 1 / 180 - 1 / 200  # RandAugment of an image on one core; measured beside it
    run: float = 0.5  # files of a run
    step: float = (
        0.02  # of a training step, however small; 30 ms beside an H200 (docs/benchmarks.md)
    )
    head_step: float = 0.002  # of a linear head
    # Of a converged probe per value on its path; each starts from the one before. Classes that are
    # far apart need three (counted on random ones); each value has as much again around them.
    iterations: int = 60
    overlaps: bool = False  # loading takes no time beside computing

    def beside(self, computing: float, loading: float) -> float:
        """Seconds of an image that is loaded by other processes and computed."""
        return max(computing, loading) if self.overlaps else computing + loading


USUAL = HostPace()  # for time limits
FAST = HostPace(
    FAST_DECODE_SECONDS, run=0.1, step=0.01, head_step=0.0003, iterations=6, overlaps=True
)
SLOW = HostPace(run=1.0, step=0.04, iterations=30)
