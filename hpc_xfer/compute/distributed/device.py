"""Choose the device of a process: never the CPU in place of a GPU that it was given."""

import os
import re
import warnings
from typing import Any

import torch

from hpc_xfer.errors import GpuMissing
from hpc_xfer.system import gpu_files, machine
from hpc_xfer.system.job_environment import node_name

_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def kind() -> str:
    """Return "cuda" or "cpu": what this process was given, whether torch can use it or not.

    Without a word from whoever started it, a process uses the GPUs that this machine has.

    Raises:
        StudyError: HPC_XFER_DEVICE names no device.
    """
    if given := machine.given_device():
        return given
    return "cuda" if _is_available() or machine.gpus() else "cpu"


def of_rank(local_rank: int) -> torch.device:
    """Return the device of a rank, which is ready for use.

    Args:
        local_rank: number of the rank on its node.

    Raises:
        GpuMissing: this process was given a GPU, and torch cannot use it.
    """
    if kind() == "cpu":
        return torch.device("cpu")
    if not _is_available():
        raise _missing(_init_error() or "it sees none")
    count = torch.cuda.device_count()
    number = local_rank
    if local_rank >= count:
        # Slurm may show each task only its own GPU, which is then number 0 on every rank.
        if count != 1 or len(machine.gpus()) > 1:
            raise _missing(f"it sees {count}, too few for rank {local_rank} of this node")
        number = 0
    device = torch.device("cuda", number)
    try:
        torch.cuda.set_device(device)
        torch.zeros(1, device=device)
    except RuntimeError as error:
        if "out of memory" in str(error):  # another process has filled it: that is another class
            raise
        raise _missing(_first_sentence(error)) from error
    return device


def identity(device: torch.device) -> str | None:
    """Return the name of a GPU that no other one has, as nvidia-smi shows it; None for the CPU."""
    if device.type != "cuda":
        return None
    return str(torch.cuda.get_device_properties(device).uuid)


def description(device: torch.device) -> dict[str, Any]:
    """Return what a record says of the device; of a GPU also the versions that decide its bits."""
    if device.type != "cuda":
        return {"device": device.type, "gpu": None}
    nccl = torch.cuda.nccl.version() if torch.distributed.is_nccl_available() else ()
    return {
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device),
        "driver": gpu_files.driver_version(),
        "cuda": torch.version.cuda or torch.version.hip,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": ".".join(map(str, nccl)) or None,
    }


def _is_available() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `_init_error` tells the same
        return torch.cuda.is_available()


def _init_error() -> str:
    """Return the reason that torch gives for using no GPU."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # the latter: torch was built without CUDA
        return _first_sentence(error)
    return ""


def _first_sentence(error: Exception) -> str:
    """Return what an error of torch says, without its advice and its links."""
    text = str(error).strip() or type(error).__name__
    return re.split(r"\. (?=[A-Z])", text)[0].splitlines()[0].rstrip(".")


def _missing(reason: str) -> GpuMissing:
    """Say what was given, what torch finds, and the way out."""
    names = (machine.DEVICE, *_VISIBLE)
    given = " and ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    given = given or "the GPUs of this machine"
    built = torch.version.cuda or torch.version.hip
    torch_words = f"torch {torch.__version__}" + (f" for CUDA {built}" if built else "")
    driver = gpu_files.driver_version()
    return GpuMissing(
        f"{node_name()}: given {given}, but {torch_words} cannot use a GPU: {reason} (driver: "
        f"{driver or 'none is loaded'}); {_way_out(reason)}; {machine.DEVICE}=cpu trains on the "
        "CPU (in jobs: `environment` in the site file)",
        node_name(),
    )


def _way_out(reason: str) -> str:
    if "busy or unavailable" in reason:  # compute mode EXCLUSIVE_PROCESS
        return (
            "another process has it for itself; see nvidia-smi there, set per_gpu to 1, or start "
            "NVIDIA's MPS"
        )
    return "see nvidia-smi there, and docs/installation.md for the driver that torch needs"
