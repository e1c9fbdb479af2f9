"""Tell the class of a failure from the error: one table. To add a class or a message, edit it.

    classify(error)        # "CUDA out of memory", a key of store.retry_policy.RULES
    spends_process(error)  # True where no later call of CUDA in this process can succeed

Libraries raise the same trouble in many words, and wrap it: the whole chain of an error is read,
and the text that a loader process sends instead of its error.
"""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist

from hpc_xfer.errors import DataError, Diverged, GpuMissing, SharedMemoryFull, StoreError

# Our own errors mean one thing, whatever they were raised from.
_OWN = (
    (Diverged, "nan"),
    (DataError, "data"),
    (SharedMemoryFull, "shared memory"),
    (StoreError, "store"),
    (GpuMissing, "no gpu"),
)
_DISK_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE)
_LIBRARIES = "CUBLAS|CUBLASLT|CUDNN|CUSOLVER|CUSPARSE|CURAND|CUFFT|HIPBLAS|HIPSOLVER|HIPSPARSE"


@dataclass(frozen=True)
class FailureSign:
    """One row: errors of these types, numbers or words are failures of this class."""

    failure: str
    types: tuple[type[BaseException], ...] = ()
    numbers: tuple[int, ...] = ()  # errno, which tells all of an OSError; its text names files
    words: str = ""  # a regular expression; the case does not matter
    spends_process: bool = False  # the error stays in the CUDA context: each later call raises it

    def fits(self, error: BaseException) -> bool:
        if isinstance(error, self.types):
            return True
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno in self.numbers
        return bool(self.words) and re.search(self.words, str(error), re.IGNORECASE) is not None


_SIGNS = (
    # A full or failing disk, also in the errors of libraries such as TensorBoard.
    FailureSign("store", (), _DISK_NUMBERS, re.escape(os.strerror(errno.ENOSPC))),
    # The first words come from a signal handler of torch's loader, in whatever runs then.
    FailureSign(
        "out of memory",
        (MemoryError,),
        (errno.ENOMEM,),
        r"^DataLoader worker|DefaultCPUAllocator: (not enough|can't allocate) memory",
    ),
    FailureSign(
        "CUDA out of memory",
        (torch.OutOfMemoryError,),
        words=r"(cuda|\bhip|nccl|cudnn|miopen)[^\n]*(\n[^\n]*){0,3}out of memory"
        rf"|({_LIBRARIES})_(STATUS_)?ALLOC_FAILED|DEVICE_ALLOCATION_FAILED|miopenStatusAllocFailed"
        r"|cudaErrorMemoryAllocation|hipError(OutOfMemory|MemoryAllocation)"
        # torch tries one algorithm of a convolution after another, and drops why each has failed.
        r"|unable to find an engine to execute this computation"
        r"|rocblas_status_memory_error|Failed to CUDA (host )?(c|m)alloc",
    ),
    FailureSign("code", words=r"device-side assert triggered|hipErrorAssert", spends_process=True),
    FailureSign(
        "gpu",
        words=r"uncorrectable (ECC|NVLink) error|\bXid\b|unspecified launch failure"
        r"|illegal memory access|illegal instruction|misaligned address|invalid program counter"
        r"|hardware stack error|operation not supported on global/shared address space"
        r"|launch timed out and was terminated|nvlink or a hardware error"
        rf"|({_LIBRARIES})_(STATUS_)?(EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED)"
        rf"|({_LIBRARIES})_(STATUS_)?(MAPPING_ERROR|INITIALIZATION_FAILED|LAUNCH_FAILURE)"
        r"|miopenStatus(InternalError|UnknownError|NotInitialized)"
        r"|hipError(LaunchFailure|IllegalAddress|ECCNotCorrectable|NoDevice|NotInitialized)"
        r"|HSA_STATUS_ERROR"
        r"|No (CUDA|HIP) GPUs are available|no (CUDA|ROCm)-capable device is detected"
        r"|CUDA-capable device(s|\(s\)) (is/)?are busy or unavailable"
        r"|(CUDA|HIP) driver initialization failed|(CUDA|HIP) unknown error"
        r"|(CUDA|HIP) error: (initialization error|unknown error|driver shutting down)"
        r"|(CUDA|HIP) error: system not yet initialized"
        r"|(device|GPU) (is |was )?lost|unhandled (cuda|hip) error|ncclUnhandledCudaError"
        r"|Pin memory thread exited unexpectedly",
        spends_process=True,
    ),
    # What NCCL and gloo raise when another rank ends in the middle of a step.
    FailureSign(
        "killed",
        (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError),
        words="/gloo/",
    ),
)


def classify(error: BaseException) -> str:
    """Return the class of a failure: it decides who tries again, where, and with what change."""
    for own, failure in _OWN:
        if isinstance(error, own):
            return failure
    sign = _sign_of(error)
    return "code" if sign is None else sign.failure


def spends_process(error: BaseException) -> bool:
    """Tell whether CUDA is of no use any more in the process that met an error."""
    signs = filter(None, map(_sign_of, causes(error)))
    return isinstance(error, GpuMissing) or any(sign.spends_process for sign in signs)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those behind it, as a traceback shows them."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        hidden = each.__suppress_context__
        each = each.__cause__ or (None if hidden else each.__context__)


def _sign_of(error: BaseException) -> FailureSign | None:
    """Return the first row that fits an error or one behind it."""
    chain = list(causes(error))
    return next((sign for sign in _SIGNS if any(map(sign.fits, chain))), None)
