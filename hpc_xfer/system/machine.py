"""Find the GPUs, cores and memory kills of this machine without importing torch."""

import contextlib
import math
import multiprocessing.util
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from hpc_xfer.errors import StudyError
from hpc_xfer.system import gpu_files
from hpc_xfer.system.limits.control_groups import control_groups, own_groups, text_of

DEVICE = "HPC_XFER_DEVICE"  # "cuda" or "cpu": what a worker was given; else it looks for itself
_NONE = ("", "-1", "NoDevFiles")  # the last is what Slurm sets for a job without GPUs
_LONGEST_TMPDIR = 107 - len("/pymp-12345678/listener-12345678")  # bytes; Linux: 107 for a socket


def given_device() -> str | None:
    """Return "cuda" or "cpu", as HPC_XFER_DEVICE says; None where it says nothing.

    Raises:
        StudyError: it names no device.
    """
    given = os.environ.get(DEVICE) or None
    if given not in (None, "cuda", "cpu"):
        raise StudyError(f"{DEVICE}={given} names no device; set cuda or cpu, or unset it")
    return given


def gpus(root: Path = gpu_files.ROOT) -> list[str]:
    """Return the visible GPUs, as numbers or names for CUDA_VISIBLE_DEVICES.

    A user who sets HPC_XFER_DEVICE=cpu has none.

    Args:
        root: where /dev and /sys lie.

    Raises:
        StudyError: HPC_XFER_DEVICE names no device.
    """
    if given_device() == "cpu":
        return []
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        if (visible := os.environ.get(variable)) is not None:
            return _named(visible)
    if (visible := os.environ.get("ROCR_VISIBLE_DEVICES")) is not None:
        # It hides GPUs one floor below, and the ones left are numbered again.
        return [str(number) for number in range(len(_named(visible)))]
    return gpu_files.listed() or gpu_files.nvidia(root) or gpu_files.amd(root)


def visible_devices(gpus: Sequence[str]) -> dict[str, str]:
    """Return the variables that show a process these GPUs only."""
    names = ",".join(gpus)
    # ROCm reads CUDA_VISIBLE_DEVICES too, unless the other is set.
    others = ["HIP_VISIBLE_DEVICES"] if "HIP_VISIBLE_DEVICES" in os.environ else []
    return dict.fromkeys(["CUDA_VISIBLE_DEVICES", *others], names) if gpus else {}


def _named(visible: str) -> list[str]:
    """Return the names in a list; CUDA ignores all that follow a name that means nothing."""
    names = (name.strip() for name in visible.split(","))
    return list(takewhile(lambda name: name not in _NONE, names))


def has_mps() -> bool:
    """Tell whether NVIDIA's MPS runs here, which lets processes use one GPU at the same moment."""
    for name in Path("/proc").glob("[0-9]*/comm"):
        try:
            if name.read_text(errors="replace").startswith("nvidia-cuda-mps"):
                return True
        except OSError:
            continue  # it has ended
    return False


def cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use: on a shared node or in a container not all.

    Args:
        root: of the file system; another one in tests.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(found, *(max(1, math.ceil(quota)) for quota in _quotas(root)), found)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the cores that each control group allows, as `docker --cpus=4` asks for."""
    for folder, version in control_groups("cpu", root):
        if version == 2:
            quota, _, period = text_of(folder / "cpu.max").strip().partition(" ")
        else:
            quota, period = (text_of(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        with contextlib.suppress(ValueError):  # "max", -1, or no such file
            if int(quota) > 0:
                yield int(quota) / int(period)


def oom_kills() -> int:
    """Count the processes of our control group that the kernel killed for lack of memory."""
    for folder, _, version in own_groups("memory"):
        events = folder / ("memory.events" if version == 2 else "memory.oom_control")
        try:
            fields = dict(row.split(" ", 1) for row in events.read_text().splitlines())
        except (OSError, ValueError):
            continue
        return int(fields.get("oom_kill", "0"))
    return 0


def shorten_socket_paths() -> None:
    """Put the sockets of multiprocessing in /tmp where TMPDIR is too long for a socket's path.

    Call it before its processes start. Else a loader process never delivers its first batch, and a
    fork server does not start; Python before 3.14 does not check this.
    """
    before = tempfile.gettempdir()
    if len(os.fsencode(before)) <= _LONGEST_TMPDIR:
        return
    tempfile.tempdir = "/tmp"
    try:
        multiprocessing.util.get_temp_dir()  # made once, and kept for this process and its children
    finally:
        tempfile.tempdir = before
