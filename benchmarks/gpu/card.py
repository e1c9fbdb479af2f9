"""Describe the card and the software under a measurement; these lines stand above its table."""

import torch

from benchmarks.harness import machine
from hpc_xfer.system import gpu_files


def describe(tiny: bool) -> list[str]:
    """One line on the GPU and its driver, one on the software, one on the machine."""
    software = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {_cudnn()}"
    facts = [_gpu(), software, machine.describe()]
    return [*facts, "tiny models, whatever the rows say"] if tiny else facts


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "no GPU: the figures show that the script works, and nothing else"
    found = torch.cuda.get_device_properties(0)
    memory = found.total_memory / 2**30
    compute = f"compute capability {found.major}.{found.minor}"
    driver = gpu_files.driver_version() or "unknown"
    return f"{found.name}, {memory:.0f} GiB, {compute}, driver {driver}"


def _cudnn() -> str:
    """90204 -> 9.2.4, 8902 -> 8.9.2."""
    number = torch.backends.cudnn.version()
    if number is None:
        return "none"
    large = 10_000 if number >= 90_000 else 1000
    return f"{number // large}.{number % large // 100}.{number % 100}"
