"""The GPU of a test, and the CPU to which its numbers are compared."""

from collections.abc import Callable

import pytest
import torch

from hpc_xfer.compute.distributed.process_group import World

METHODS = ("clip", "siglip", "simclr", "supervised")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")

needs_two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
Choice = Callable[[str], None]


def on_gpu() -> World:
    return World(device=torch.device("cuda", 0))


def tolerances(method: str) -> tuple[float, float]:
    """Relative distances of loss and gradients between devices, in double precision.

    The colors of SimCLR are computed in fp32 whatever the precision of the model is. A rounding of
    each color changes the loss by 4e-9 and the gradients by 4e-7; colors take several operations.
    """
    return (1e-7, 1e-5) if method == "simclr" else (1e-10, 1e-10)
