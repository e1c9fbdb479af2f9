"""One of several ranks fails: all end soon, and the error of the first one is reported."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import torch

from hpc_xfer import worker
from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from tests import tiny
from tests.conftest import ROOT

WHY = "no kernel image is available"
# Forwards of the first convolution: that of the third step.
FAULT = f"""
import torch

def fail(module, inputs, seen=[0]):
    seen[0] += isinstance(module, torch.nn.Conv2d) and module.in_channels == 3
    if seen[0] == 3:
        raise RuntimeError({WHY!r})

torch.nn.modules.module.register_module_forward_pre_hook(fail)
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")


def rank(number: int, fails: int, root: Path, batch: str) -> None:
    """Run a worker as a launcher starts it; destroying the group hangs, as with NCCL it may."""
    torch.distributed.destroy_process_group = threading.Event().wait  # type: ignore[assignment]
    if number == fails:
        exec(FAULT, {})
    sys.stdout = (root / f"{number}.out").open("w")
    places = ["--rank", str(number), "--world", "2", "--local-rank", str(number)]
    where = ["--store", str(root), "--study", "test", "--site", str(root / "site.yaml")]
    sys.exit(worker.main([*where, *places, "--pack", f"{batch}/0"]))


def told(root: Path, number: int) -> dict[str, Any]:
    events = map(json.loads, (root / f"{number}.out").read_text().splitlines())
    [failed] = [event for event in events if event["event"] == "failed"]
    return {"class": failed["class"], "message": failed["message"]}


@pytest.mark.parametrize("fails", [0, 1])
def test_a_rank_that_fails_leaves_without_waiting_for_the_others(
    fails: int, tmp_path: Path, shards: Path
) -> None:
    run, store = tiny.pretraining("supervised"), Store(tmp_path)
    batch = written(store, run, shards)
    ranks = [tiny.child(rank, number, fails, tmp_path, batch) for number in range(2)]
    assert tiny.join(ranks, seconds=60) == [1, 1]
    assert told(tmp_path, fails) == {"class": "code", "message": WHY}
    assert told(tmp_path, 1 - fails)["class"] == "killed"
    error = failures.read(store.run(run.id))
    assert error is not None and error["class"] == ("killed" if fails else "code")
    assert (error["node"] == "") == (error["class"] == "killed")  # nobody blames that of rank 0
    assert not run_claims.is_alive(store.run(run.id))


def written(store: Store, run: Run, shards: Path) -> str:
    (store.root / "site.yaml").write_text(f"sources: {{sans: {shards}}}\n")
    resources = tiny.PRETRAIN.model_dump()
    return store.write_manifest("test", JobArray((Pack((run,), 1.0, 2),)), resources).stem


GRID = """\
name: two
pretrain:
  - {method: supervised, arch: tiny.json, source: sans, samples: 256, samples_seen: 256, batch: 32}
finetune: {datasets: [digits], shots: [1], draws: 1, mode: [lp], solver: adamw, epochs: 2, lr: 1e-2}
resources: {pretrain: {minutes: 1, gpus: 2, workers: 0}, finetune: {minutes: 1}}
"""


@pytest.mark.parametrize("fails", [0, 1])
def test_a_local_launch_reports_why_the_first_rank_failed(
    fails: int, tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "words = open('/proc/self/cmdline').read().split(chr(0))\n"
        f"if ('--rank', '{fails}') in zip(words, words[1:]):\n" + indent(FAULT, "    ")
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    done = launched(tmp_path, GRID, shards)
    assert done.returncode == 1 and f"code: {WHY}" in done.stderr
    [folder] = (tmp_path / "store" / "runs").iterdir()
    error = failures.read(Store(tmp_path / "store").run(folder.name))
    assert error is not None and (error["class"], error["message"]) == ("code", WHY)


def launched(folder: Path, grid: str, shards: Path) -> "subprocess.CompletedProcess[str]":
    (folder / "two.yaml").write_text(grid)
    (folder / "tiny.json").write_text(tiny.ARCH.model_dump_json(exclude={"name"}))
    (folder / "site.yaml").write_text(f"sources: {{sans: {shards}}}\n")
    command = [sys.executable, "-m", "hpc_xfer.launch", str(folder / "two.yaml"), "--on", "local"]
    command += ["--store", str(folder / "store"), "--site", str(folder / "site.yaml")]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240)


@pytest.mark.slow
def test_with_fewer_gpus_than_requested_the_batch_still_splits_evenly(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 4 processes, 6 of 24 samples do not split into 4 parts; with 3, 8 do.

    On a machine that has fewer, all ranks fail: none trains on the CPU instead.
    """
    monkeypatch.delenv("HPC_XFER_DEVICE", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    done = launched(
        tmp_path,
        GRID.replace("batch: 32", "batch: 24, accumulate: 4").replace("gpus: 2", "gpus: 6"),
        shards,
    )
    assert "6 GPUs asked, 3 used" in done.stdout + done.stderr
    if torch.cuda.device_count() >= 3:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and "no gpu: rank " in done.stderr, done.stderr
