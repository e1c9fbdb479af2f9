"""Find GPUs and their driver by what the kernel shows, where no tool can be asked.

Slim containers have no nvidia-smi, and nvidia-smi hangs on a node whose driver is in trouble.
"""

import contextlib
import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path("/")
_ANSWER_SECONDS = 20.0  # it takes 1 to 5 s on a node of eight GPUs whose driver has to wake up
_MIG = re.compile(r"\(UUID:\s*(MIG-[^)\s]+)\)")
_REFUSED = (errno.EPERM, errno.EACCES)  # the control group of our job has no right to this GPU
_VERSION = re.compile(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)")


def listed(seconds: float = _ANSWER_SECONDS) -> list[str]:
    """Return the GPUs that nvidia-smi lists: numbers, and the names of slices of a GPU (MIG).

    The list is empty where there is no nvidia-smi, no GPU, or no answer in time.
    """
    gpus: list[tuple[str, list[str]]] = []
    for line in answer_of(["nvidia-smi", "--list-gpus"], seconds).splitlines():
        if line.startswith("GPU "):
            gpus.append((str(len(gpus)), []))
        elif gpus and (slice_ := _MIG.search(line)):
            gpus[-1][1].append(slice_[1])
    # A GPU in slices cannot be used as a whole, and a process sees one slice.
    return [name for number, slices in gpus for name in slices or [number]]


def answer_of(command: list[str], seconds: float) -> str:
    """Return the standard output of a command; "" where it is absent or does not answer in time.

    A process that waits for a driver may not even die: nobody waits for its end.
    """
    if shutil.which(command[0]) is None:
        return ""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, errors="replace",
        )  # fmt: skip
    except OSError:
        return ""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        assert process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        return ""


def nvidia(root: Path = ROOT) -> list[str]:
    """Return the numbers of NVIDIA GPUs whose device files this process may open.

    /proc/driver/nvidia/gpus is not asked: it lists the GPUs of the host, also in a container and in
    a job that may use none of them.
    """
    files = sorted(each for each in _names(root / "dev") if re.fullmatch(r"nvidia\d+", each))
    usable = [each for each in files if _is_usable(root / "dev" / each)]
    return [str(number) for number in range(len(usable))]


def amd(root: Path = ROOT) -> list[str]:
    """Return the numbers of AMD GPUs that ROCm can use: nodes of /dev/kfd with compute units."""
    if not _is_usable(root / "dev/kfd"):
        return []
    nodes = root / "sys/class/kfd/kfd/topology/nodes"
    found = [node for node in _names(nodes) if _is_amd_gpu(root, nodes / node)]
    return [str(number) for number in range(len(found))]


def driver_version(root: Path = ROOT) -> str | None:
    """Return the version of the NVIDIA driver that is loaded, else of the AMD one; else None."""
    with contextlib.suppress(OSError):
        text = (root / "proc/driver/nvidia/version").read_text(errors="replace")
        if version := _VERSION.search(text):
            return version[1]
    with contextlib.suppress(OSError):
        return (root / "sys/module/amdgpu/version").read_text().strip()
    return None


def _is_usable(device: Path) -> bool:
    """Tell whether we may use a device file; one that is broken counts, one refused does not."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno not in _REFUSED
    return True


def _is_amd_gpu(root: Path, node: Path) -> bool:
    try:
        lines = (node / "properties").read_text().splitlines()
    except OSError:
        return False
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    if values.get("simd_count", "0") == "0":  # a CPU
        return False
    minor = values.get("drm_render_minor", "0")  # containers get the files of their GPUs only
    return _is_usable(root / f"dev/dri/renderD{minor}")


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
