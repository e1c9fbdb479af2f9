"""GPUs that this machine has: what Slurm shows, what nvidia-smi lists, what the kernel shows."""

import os
import shutil
import time
from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.system import gpu_files, machine

VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HPC_XFER_DEVICE",
)  # fmt: skip
MIG = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4)
  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8-9bed)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-60bfb1ae)
"""


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of an nvidia-smi that is found before that of this machine."""
    path = tmp_path / "bin/nvidia-smi"
    path.parent.mkdir()
    monkeypatch.setenv("PATH", f"{path.parent}:{os.path.dirname(str(shutil.which('cat')))}")
    write(path, "echo 'no driver' >&2; exit 9")
    return path


def write(tool: Path, script: str) -> None:
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def files(root: Path, *names: str, content: str = "") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,1", ["0", "1"]),
        ("0, 1", ["0", "1"]),
        ("1,-1,0", ["1"]),
        ("GPU-3f2c", ["GPU-3f2c"]),
        ("MIG-c6d4f1ef-42e4", ["MIG-c6d4f1ef-42e4"]),
    ],
)
def test_gpus_are_those_that_slurm_lets_us_see(
    visible: str, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpus() == gpus


def test_gpus_of_amd_are_numbered_from_zero_where_the_driver_hides_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "2,3")
    assert machine.gpus() == ["0", "1"]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    assert machine.gpus() == ["1"]
    shown = {"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "1"}
    assert machine.visible_devices(["1"]) == shown


def test_a_user_who_asks_for_the_cpu_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("HPC_XFER_DEVICE", "cpu")
    assert machine.gpus() == []


def test_an_unknown_device_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_XFER_DEVICE", "gpu")
    with pytest.raises(StudyError, match="HPC_XFER_DEVICE=gpu names no device; set cuda or cpu"):
        machine.gpus()


def test_without_slurm_the_driver_is_asked(tool: Path, tmp_path: Path) -> None:
    write(tool, "printf 'GPU 0: A100 (UUID: GPU-1)\\nGPU 1: A100 (UUID: GPU-2)\\n'")
    assert machine.gpus(tmp_path) == ["0", "1"]


def test_slices_of_a_gpu_are_used_in_its_place(tool: Path, tmp_path: Path) -> None:
    files(tmp_path, "list", content=MIG)
    write(tool, f"cat {tmp_path}/list")
    assert machine.gpus(tmp_path) == ["MIG-c6d4f1ef-42e4", "MIG-cba663e8-9bed", "1"]


@pytest.mark.parametrize("script", ["exit 9", "echo 'No devices were found'; exit 6"])
def test_a_container_without_a_working_tool_shows_the_files_of_its_gpus(
    script: str, tool: Path, tmp_path: Path
) -> None:
    write(tool, script)
    assert machine.gpus(tmp_path) == []
    files(tmp_path, "dev/nvidia0", "dev/nvidia3", "dev/nvidiactl", "dev/nvidia-uvm")
    assert machine.gpus(tmp_path) == ["0", "1"]
    tool.unlink()
    assert machine.gpus(tmp_path) == ["0", "1"]


def test_a_tool_that_hangs_is_left_behind(tool: Path) -> None:
    write(tool, "exec sleep 600")
    began = time.monotonic()
    assert gpu_files.listed(seconds=0.2) == []
    assert time.monotonic() - began < 10


def test_gpus_of_amd_are_counted_by_the_kernel(tool: Path, tmp_path: Path) -> None:
    nodes = "sys/class/kfd/kfd/topology/nodes"
    files(tmp_path, f"{nodes}/0/properties", content="cpu_cores_count 64\nsimd_count 0\n")
    for number in (1, 2, 3):
        text = f"cpu_cores_count 0\nsimd_count 440\ndrm_render_minor {127 + number}\n"
        files(tmp_path, f"{nodes}/{number}/properties", content=text)
    files(tmp_path, "dev/dri/renderD128", "dev/dri/renderD130")
    assert machine.gpus(tmp_path) == []  # no access to /dev/kfd
    files(tmp_path, "dev/kfd")
    assert machine.gpus(tmp_path) == ["0", "1"]


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build",
    ],
)
def test_the_driver_tells_its_version(text: str, tmp_path: Path) -> None:
    assert gpu_files.driver_version(tmp_path) is None
    files(tmp_path, "proc/driver/nvidia/version", content=f"{text}\nGCC version: 12\n")
    assert gpu_files.driver_version(tmp_path) == "535.104.05"
