"""Settings of the arithmetic of a run: autocast, TF32, and how cuDNN chooses its algorithms.

    with products(device, "tf32"), autocast(device, "tf32"):
        loss = model(batch)
        loss.backward()

bf16 and fp16 are autocast. fp32 and tf32 are not: tf32 rounds the factors of products and
convolutions to 10 bits, which a GPU of Ampere or later computes on its tensor cores.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Compute products and convolutions in half precision, for bf16 and fp16."""
    dtype = _DTYPES.get(precision)
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


@contextlib.contextmanager
def products(device: torch.device, precision: str) -> Iterator[None]:
    """Round the factors of fp32 products on a GPU to TF32 for `tf32`, and for nothing else.

    torch's default rounds those of convolutions. The flags belong to the process, and the backward
    pass reads them too.
    """
    if device.type != "cuda":
        yield
        return
    blas, dnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = blas.allow_tf32, dnn.allow_tf32
    blas.allow_tf32 = dnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        blas.allow_tf32, dnn.allow_tf32 = before


@contextlib.contextmanager
def measured_algorithms(device: torch.device, fixed_sizes: bool) -> Iterator[None]:
    """Let cuDNN measure its algorithms at the first batch, where all batches have one size.

    Each new size costs a second or so. Another start may choose another algorithm, which changes
    last bits.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = fixed_sizes and device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
