"""The class of a failure, from the words of the libraries that raise it."""

import errno
import os
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch._utils import ExceptionWrapper

from hpc_xfer.compute.failure_classes import classify, spends_process
from hpc_xfer.errors import ClaimLost, DataError, Diverged, GpuMissing, StoreError
from hpc_xfer.store.retry_policy import RULES

HINTS = (
    "\nSearch for `cudaErrorECCUncorrectable' in https://docs.nvidia.com/cuda/cuda-runtime-api/ "
    "for more information.\nCUDA kernel errors might be asynchronously reported at some other API "
    "call, so the stacktrace below might be incorrect.\nFor debugging consider passing "
    "CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."
)
NCCL = (
    "NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3690, {}, NCCL version "
    "2.27.5\n{}: Call to CUDA function failed.\nLast error:\nCuda failure {}"
)
GPU = [
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: an illegal instruction was encountered",
    "CUDA error: misaligned address",
    "CUDA error: hardware stack error",
    "CUDA error: the launch timed out and was terminated",
    "CUDA error: Invalid access of peer GPU memory over nvlink or a hardware error",
    "CUDA error: initialization error",
    "CUDA error: unknown error",
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
    "CUDA error: all CUDA-capable devices are busy or unavailable",
    "CUDA error: no CUDA-capable device is detected",
    "HIP error: unspecified launch failure",
]
RAISED: dict[str, list[BaseException]] = {
    "gpu": [
        *(torch.AcceleratorError(words + HINTS) for words in GPU),
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu."),
        RuntimeError(
            "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. "
            "changing env variable CUDA_VISIBLE_DEVICES after program start."
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, ...)`"
        ),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
        ),
        RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnX`"),
        RuntimeError("Pin memory thread exited unexpectedly"),
        RuntimeError("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."),
        dist.DistBackendError(
            NCCL.format(
                "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
                "ncclUnhandledCudaError", "999 'unknown error'",
            )
        ),
    ],
    "CUDA out of memory": [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total"),
        torch.AcceleratorError("CUDA error: out of memory" + HINTS),
        torch.AcceleratorError("HIP error: out of memory"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("GET was unable to find an engine to execute this computation after trying 8"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("miopenStatusAllocFailed"),
        RuntimeError("cudaErrorMemoryAllocation: out of memory"),
        dist.DistBackendError(
            NCCL.format("unhandled cuda error", "ncclUnhandledCudaError", "2 'out of memory'")
        ),
    ],
    "out of memory": [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't "
                     "allocate memory: you tried to allocate 8 bytes. Error code 12"),
    ],
    "store": [StoreError("full"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))],
    "data": [DataError("CUDA error: unspecified launch failure")],
    "nan": [Diverged("the loss is NaN")],
    "no gpu": [GpuMissing("n1: given HPC_XFER_DEVICE=cuda")],
    "killed": [
        dist.DistNetworkError("Connection reset by peer"),
        dist.DistBackendError("NCCL communicator was aborted on rank 0."),
        RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed"),
    ],
    "code": [
        ValueError("CUDA is a word"),
        torch.AcceleratorError("CUDA error: device-side assert triggered" + HINTS),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"),
        torch.AcceleratorError("CUDA error: no kernel image is available for execution on the de"),
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/data/xid/misaligned address"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "error"),
    [(failure, error) for failure, errors in RAISED.items() for error in errors],
    ids=lambda value: value if isinstance(value, str) else str(value)[:50],
)
def test_the_class_of_an_error(failure: str, error: BaseException) -> None:
    assert classify(error) == failure
    assert failure in RULES


def behind_another(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as cause:
            raise ValueError("the step failed") from cause
    except ValueError as outer:
        return outer


def while_another_was_handled(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception:
            raise KeyError("loss")  # noqa: B904
    except KeyError as outer:
        return outer


def from_a_loader_process(error: Exception) -> Exception:
    try:
        raise error
    except Exception:
        sent = ExceptionWrapper(where="in DataLoader worker process 0")
    try:
        sent.reraise()
    except Exception as received:
        return received
    raise AssertionError


@pytest.mark.parametrize("wrap", [behind_another, while_another_was_handled, from_a_loader_process])
@pytest.mark.parametrize("failure", ["gpu", "CUDA out of memory", "code"])
def test_the_class_is_found_behind_other_errors(
    failure: str, wrap: Callable[[Exception], Exception]
) -> None:
    words = {
        "gpu": GPU[0], "CUDA out of memory": "CUDA error: out of memory",
        "code": "CUDA error: device-side assert triggered",
    }  # fmt: skip
    error = wrap(torch.AcceleratorError(words[failure]))
    assert classify(error) == failure
    assert spends_process(error) == (failure != "CUDA out of memory")


def test_a_process_is_spent_where_the_error_stays_in_the_context() -> None:
    for error in (*RAISED["gpu"], *RAISED["no gpu"], RAISED["code"][1]):
        assert spends_process(error), error
    others = {
        name: errors for name, errors in RAISED.items() if name not in ("gpu", "no gpu", "data")
    }
    for error in (each for errors in others.values() for each in errors):
        if error is not RAISED["code"][1]:
            assert not spends_process(error), error


def test_a_run_taken_over_by_another_process_does_not_hide_a_broken_gpu() -> None:
    lost = ClaimLost("another process took it")
    lost.__cause__ = torch.AcceleratorError(GPU[0])
    assert spends_process(lost)


def test_the_words_of_torch_where_there_is_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    if torch.version.cuda is None and torch.version.hip is None:
        pytest.skip("this torch is built for the CPU")
    with pytest.raises(RuntimeError) as raised:
        torch.zeros(1, device="cuda")
    assert "NVIDIA" in str(raised.value) or "CUDA" in str(raised.value)
