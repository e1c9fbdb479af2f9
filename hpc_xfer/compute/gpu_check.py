"""Check one GPU for `doctor`: what it is, what torch was built for, and one convolution.

look(torch.device("cuda", 0))["convolution"]  # {"teraflops": 310.0, "distance": 0.0017, ...}
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hpc_xfer.system import gpu_files

# A convolution of ResNets: 118 GFLOP a round, so that a round of 0.4 ms hides its launch.
_BATCH, _CHANNELS, _SIDE = 128, 256, 28
_ROUNDS = 20
_COMPARED = [0, _BATCH - 1]  # images that the CPU computes too, in 0.1 s


def look(device: torch.device) -> dict[str, Any]:
    """Describe the GPU and its software; on a CPU, the software alone."""
    on_gpu = device.type == "cuda"
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "driver": gpu_files.driver_version(),
        "capability": list(torch.cuda.get_device_capability(device)) if on_gpu else None,
        "built_for": torch.cuda.get_arch_list() if on_gpu else [],
        "convolution": convolution(device) if on_gpu else None,
    }


def convolution(device: torch.device) -> dict[str, Any]:
    """Time one convolution in half precision, and compare two of its images with the CPU."""
    dtype = _half(device)
    generator = torch.Generator().manual_seed(0)
    images = _rounded((_BATCH, _CHANNELS, _SIDE, _SIDE), generator, dtype)
    kernel = _rounded((_CHANNELS, _CHANNELS, 3, 3), generator, dtype)
    expected = F.conv2d(images[_COMPARED].float(), kernel.float(), padding=1)
    try:
        there, weight = (
            each.to(device, memory_format=torch.channels_last) for each in (images, kernel)
        )
        found = F.conv2d(there, weight, padding=1)[_COMPARED].float().cpu()
        seconds = _seconds(there, weight)
    except RuntimeError as error:  # any lack of the GPU or its software is a result
        return {"error": str(error).strip().splitlines()[0]}
    flop = 2 * _BATCH * _CHANNELS * _CHANNELS * 9 * _SIDE * _SIDE
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "teraflops": flop / seconds / 1e12,
        "distance": float((found - expected).norm() / expected.norm()),
    }


def _half(device: torch.device) -> torch.dtype:
    """bf16, or fp16 on GPUs before Ampere, which have no units for bf16."""
    if device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def _rounded(
    shape: tuple[int, int, int, int], generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    return torch.randn(shape, generator=generator).to(dtype)


def _seconds(images: Tensor, kernel: Tensor) -> float:
    """Seconds of one convolution, without the time to launch it."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(3):
        F.conv2d(images, kernel, padding=1)
    begin.record()
    for _ in range(_ROUNDS):
        F.conv2d(images, kernel, padding=1)
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000 / _ROUNDS
