"""Launching on this machine with a GPU that fails, is not there, or a run that hangs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.system import machine
from tests import tiny
from tests.conftest import ROOT

GRID = """\
name: faults
pretrain:
  - {method: scratch, arch: tiny.json}
finetune: {datasets: [digits], shots: [1], draws: 3, mode: [lp], solver: adamw, epochs: 2, lr: 1e-2}
resources: {pretrain: {minutes: 1}, finetune: {minutes: 1, target_minutes: 30}}
"""
# Loaded by each Python process; acts in the first forward pass of the first process only.
FAULT = """
import sys
if "--parent" in open("/proc/self/cmdline").read().split(chr(0)):
    import threading, torch
    def fault(module, inputs):
        if isinstance(module, torch.nn.Conv2d):
            try:
                open({mark!r}, "x").close()
            except FileExistsError:
                return
            {action}
    torch.nn.modules.module.register_module_forward_pre_hook(fault)
"""
MANY = "arch: tiny.json, seed: [0, 1, 2, 3, 4]"
ECC = (
    "CUDA error: uncorrectable ECC error encountered\\nCompile with `TORCH_USE_CUDA_DSA` to enable "
    "device-side assertions."
)


BROKEN = """
import sys
if "--parent" in open("/proc/self/cmdline").read().split(chr(0)):
    sys.modules["torch"] = None
"""


def launch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, action: str = "", grid: str = GRID, **slurm: Any
) -> "subprocess.CompletedProcess[str]":
    (folder / "faults.yaml").write_text(grid)
    (folder / "tiny.json").write_text(tiny.ARCH.model_dump_json(exclude={"name"}))
    (folder / "site.yaml").write_text(json.dumps({"slurm": slurm}))
    if action:
        fault = FAULT.format(mark=str(folder / "mark"), action=action)
        (folder / "sitecustomize.py").write_text(fault)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")
    command = [sys.executable, "-m", "hpc_xfer.launch", str(folder / "faults.yaml")]
    command += ["--on", "local", "--jobs", "1", "--store", str(folder / "store")]
    command += ["--site", str(folder / "site.yaml")]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240)


def outcomes(folder: Path) -> list[str]:
    """Class of failure of each run that was begun, "" for one that is done."""
    store = Store(folder / "store")
    runs = sorted(path.name for path in (folder / "store/runs").iterdir())
    errors = {run: failures.read(store.run(run)) for run in runs}
    done = {run for run in runs if store.run(run).record.exists()}
    return sorted("" if run in done else (errors[run] or {}).get("class", "?") for run in runs)


@pytest.mark.slow
def test_a_gpu_error_fails_one_run_and_a_fresh_worker_does_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = launch(tmp_path, monkeypatch, f'raise torch.AcceleratorError("{ECC}")')
    assert done.returncode == 1
    assert "gpu: CUDA error: uncorrectable ECC error encountered" in done.stderr
    assert outcomes(tmp_path) == ["", "", "", "gpu"], done.stderr
    assert len(list((tmp_path / "store").glob("studies/*/logs/local-*.log"))) == 2


@pytest.mark.slow
def test_no_run_begins_on_the_cpu_where_the_gpu_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.delenv("HPC_XFER_DEVICE", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    done = launch(tmp_path, monkeypatch)
    assert done.returncode == 1
    assert "no gpu: " in done.stderr and "HPC_XFER_DEVICE=cpu trains on the CPU" in done.stderr
    assert "GPU 0 is broken and gets no more work" in done.stderr
    assert outcomes(tmp_path) == ["no gpu"]


@pytest.mark.slow
def test_a_gpu_that_a_user_asks_for_and_nobody_finds_ends_the_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if machine.gpus():
        pytest.skip("this machine has a GPU")
    monkeypatch.setenv("HPC_XFER_DEVICE", "cuda")
    done = launch(tmp_path, monkeypatch, grid=GRID.replace("arch: tiny.json", MANY))
    assert done.returncode == 1
    assert "no GPU is left: other runs are not begun" in done.stderr
    assert outcomes(tmp_path) == ["no gpu"]


def test_a_library_that_no_worker_can_import_ends_the_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each run of a study would fail, one after another."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    done = launch(tmp_path, monkeypatch, grid=GRID.replace("arch: tiny.json", MANY))
    assert done.returncode == 1
    assert "3 workers in a row ended before they began a run, for a reason in " in done.stderr
    assert done.stderr.count("killed: the worker ended with exit code 1") == 3
    assert "import of torch halted" in done.stderr


@pytest.mark.slow
def test_a_run_that_hangs_is_ended_and_leaves_where_it_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = launch(tmp_path, monkeypatch, "threading.Event().wait()", hang_minutes=0.4)
    assert done.returncode == 1
    assert "hung: no sign of life for 0.4 min; the worker was killed" in done.stderr
    assert outcomes(tmp_path) == ["", "", "", "hung"]
    logs = (tmp_path / "store").glob("studies/*/logs/local-*.log")
    assert any("in fault" in log.read_text() for log in logs)
