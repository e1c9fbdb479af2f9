"""Launching on this machine, as a user does: whole studies, in real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.study_file import load_study
from tests.conftest import ROOT
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

GRID = f"""
name: tiny
question: Does it survive?
pretrain:
  - {{method: clip, arch: {ROOT}/grids/archs/glyph.json, source: sans, samples: 512, epochs: 4,
      batch: 64}}
  - {{method: scratch, arch: {ROOT}/grids/archs/glyph.json}}
finetune:
  datasets: [digits]
  shots: [5]
  draws: 1
  mode: [ft, lp]
  batch: 32
  epochs: 4
  randaugment: false
  tune: {{lr: [1e-3, 3e-3]}}
resources:
  pretrain: {{minutes: 1, workers: 0, log_steps: 1, checkpoint_minutes: 0.0001}}
  finetune: {{minutes: 0.02, target_minutes: 0.1, log_steps: 1, checkpoint_minutes: 0.0001}}
"""


def command(grid: Path, store: Path, site: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "hpc_xfer.launch", str(grid)),
        *("--store", str(store), "--site", str(site), "--on", "local", *more),
    ]


def launch(grid: Path, store: Path, site: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    line = command(grid, store, site, *more)
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)


def start(grid: Path, store: Path, site: Path) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command(grid, store, site), cwd=ROOT, stdout=pipe, stderr=pipe, text=True
    )


def planned(grid: Path) -> Plan:
    return make_plan(load_study(grid))


def numbers(grid: Path, store: Path) -> dict[str, Any]:
    """Return the metrics of every run; times and machines differ from launch to launch."""
    found = {}
    for run in planned(grid).runs:
        record = Store(store).record(run.id)
        assert record is not None, f"{run.columns} has no record"
        found[run.id] = {
            name: value for name, value in record["metrics"].items() if name != "samples_per_second"
        }
    return found


def workers_of(store: Path) -> list[int]:
    """Live worker processes on this store."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"hpc_xfer.worker" in words and str(store).encode() in words:
            found.append(int(entry.name))
    return found


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, site: Path) -> dict[str, Any]:
    """The numbers of a launch that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = folder / "tiny.yaml"
    path.write_text(GRID)
    done = launch(path, folder / "store", site)
    assert done.returncode == 0, done.stderr
    return numbers(path, folder / "store")


def test_the_smoke_study_ends_with_tables_figures_and_a_report(tmp_path: Path, site: Path) -> None:
    grid, store = ROOT / "grids/demo/smoke.yaml", tmp_path / "a store"
    first = launch(grid, store, site)
    assert first.returncode == 0, first.stderr
    folder = store / "studies/smoke"
    for name in ("runs", "cells", "averages", "missing"):
        assert (folder / "summary" / f"{name}.csv").stat().st_size > 0
    assert list((folder / "figures").glob("*.png")) and list((folder / "figures").glob("*.svg"))
    assert "scratch" in first.stdout and f"report: {folder}/report.html" in first.stdout
    tables = {path: path.read_bytes() for path in (folder / "summary").iterdir()}
    made = {path: path.stat().st_mtime_ns for path in (*tables, folder / "report.html")}

    second = launch(grid, store, site, "--json")
    told = json.loads(second.stdout)
    assert (second.returncode, told["done"], told["failed"]) == (0, told["runs"], {})
    assert {path: path.stat().st_mtime_ns for path in made} == made  # nothing is collected again

    (folder / "report.html").unlink()
    third = launch(grid, store, site)
    assert third.returncode == 0 and (folder / "report.html").exists()
    assert {path: path.read_bytes() for path in (folder / "summary").iterdir()} == tables
    assert len(list((store / "runs").glob("*/claims/2.json"))) == 0  # nothing was done twice


def test_a_dry_run_writes_nothing(tmp_path: Path, grid: Path, site: Path) -> None:
    done = launch(grid, tmp_path / "store", site, "--dry-run")
    assert done.returncode == 0
    assert "8 runs, 0 done, 8 to do" in done.stdout
    assert not (tmp_path / "store").exists()


def test_a_failing_run_is_reported_and_stops_no_other(tmp_path: Path, site: Path) -> None:
    grid, store = tmp_path / "bad.yaml", tmp_path / "store"
    grid.write_text(GRID.replace("batch: 64}", "batch: 64, lr: 1e30}"))
    first = launch(grid, store, site)
    assert first.returncode == 1
    assert (
        "failed: clip sans 512" in first.stderr
        and "nan: the weights are not finite" in first.stderr
    )
    done = Store(store).done(planned(grid))
    assert len(done) == 4  # scratch, its two trainings and its probe; those of clip are blocked
    missing = (store / "studies/tiny/summary/missing.csv").read_text()
    assert missing.count(",blocked,") == 3 and missing.count(",failed,nan,") == 1

    again = launch(grid, store, site)
    assert again.returncode == 1
    assert (
        "failed before (nan: the weights are not finite" in again.stderr
        and "started" not in again.stderr
    )
    tried = launch(grid, store, site, "--retry-failed")
    assert tried.returncode == 1 and "started: clip sans 512" in tried.stderr


def test_ctrl_c_saves_stops_the_workers_and_is_gone_on_from(
    tmp_path: Path, grid: Path, site: Path, undisturbed: dict[str, Any]
) -> None:
    store = tmp_path / "store"
    running = start(grid, store, site)
    wait_for(lambda: list(store.glob("runs/*/checkpoint.pt")))
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "launch again to go on from here" in errors and "Traceback" not in errors
    assert workers_of(store) == []
    assert launch(grid, store, site).returncode == 0
    assert numbers(grid, store) == undisturbed


@pytest.mark.parametrize("victim", ["checkpoint.pt", "hits.npy"])
def test_a_worker_killed_in_the_middle_loses_nothing(
    tmp_path: Path, grid: Path, site: Path, undisturbed: dict[str, Any], victim: str
) -> None:
    store = tmp_path / "store"
    running = start(grid, store, site)
    wait_for(lambda: list(store.glob(f"runs/*/{victim}")))
    for worker in workers_of(store):
        os.kill(worker, signal.SIGKILL)
    _, errors = running.communicate(timeout=300)
    assert "killed: the worker ended with signal 9" in errors or running.returncode == 0
    assert launch(grid, store, site).returncode == 0
    assert numbers(grid, store) == undisturbed


def test_workers_of_a_killed_launcher_stop_and_launching_again_finishes(
    tmp_path: Path, grid: Path, site: Path, undisturbed: dict[str, Any]
) -> None:
    store = tmp_path / "store"
    running = start(grid, store, site)
    wait_for(lambda: list(store.glob("runs/*/checkpoint.pt")))
    running.kill()
    running.communicate()
    wait_for(lambda: not workers_of(store))
    assert launch(grid, store, site).returncode == 0
    assert numbers(grid, store) == undisturbed


def test_workers_that_are_still_starting_stop_with_their_launcher(
    tmp_path: Path, grid: Path, site: Path
) -> None:
    """A worker needs seconds to import torch, and its first pack lies in the pipe by then."""
    store = tmp_path / "store"
    running = start(grid, store, site)
    wait_for(lambda: workers_of(store))
    running.kill()
    running.communicate()
    wait_for(lambda: not workers_of(store))
    assert not list(store.glob("runs/*/record.json"))


def test_a_worker_that_somebody_else_stops_loses_nothing(
    tmp_path: Path, grid: Path, site: Path, undisturbed: dict[str, Any]
) -> None:
    store = tmp_path / "store"
    running = start(grid, store, site)
    wait_for(lambda: list(store.glob("runs/*/checkpoint.pt")))
    for worker in workers_of(store):
        os.kill(worker, signal.SIGTERM)
    running.communicate(timeout=300)
    assert running.returncode == 0
    assert numbers(grid, store) == undisturbed


def test_two_launches_at_once_share_the_work(
    tmp_path: Path, grid: Path, site: Path, undisturbed: dict[str, Any]
) -> None:
    store = tmp_path / "store"
    both = [start(grid, store, site), start(grid, store, site)]
    ends = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    assert numbers(grid, store) == undisturbed
    assert not list(store.glob("runs/*/claims/2.json"))  # each run was begun once


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with 6 MB beside the code of a launch: too little for a CLIP pre-training."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=13m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_leaves_no_half_file_and_is_gone_on_from(
    small_disk: Path, grid: Path, site: Path, undisturbed: dict[str, Any]
) -> None:
    store = small_disk / "store"
    full = launch(grid, store, site)
    assert full.returncode == 1
    assert "store: " in full.stderr and "No space left on device" in full.stderr
    assert not list(store.rglob(".*.tmp"))
    larger = ["mount", "-o", "remount,size=200m", str(small_disk)]
    subprocess.run(larger, check=True)
    assert launch(grid, store, site).returncode == 0
    assert numbers(grid, store) == undisturbed


def test_half_a_record_is_no_record(
    tmp_path: Path, grid: Path, site: Path, undisturbed: dict[str, Any]
) -> None:
    store = tmp_path / "store"
    assert launch(grid, store, site).returncode == 0
    for record in store.glob("runs/*/record.json"):
        record.write_bytes(record.read_bytes()[:100])
    assert launch(grid, store, site).returncode == 0
    assert numbers(grid, store) == undisturbed


def test_a_pre_training_on_two_processes_runs_as_a_group(tmp_path: Path, site: Path) -> None:
    grid, store = tmp_path / "two.yaml", tmp_path / "store"
    grid.write_text(GRID.replace("pretrain: {minutes", "pretrain: {gpus: 2, minutes"))
    done = launch(grid, store, site)
    assert done.returncode == 0, done.stderr
    clip = planned(grid).runs[0]
    record = Store(store).record(clip.id)
    assert record is not None and record["provenance"]["ranks"] == 2
    assert not list(store.glob("runs/*/rendezvous-*"))


def test_a_store_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, grid: Path, site: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = launch(grid, tmp_path / "file", site)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path / 'file'}: the store cannot be made")


def test_a_shard_that_is_cut_off_is_found_before_anything_runs(
    tmp_path: Path, grid: Path, shards: Path
) -> None:
    source = Path(shutil.copytree(shards / "sans", tmp_path / "sans"))
    tar = sorted(source.glob("*.tar"))[0]
    tar.write_bytes(tar.read_bytes()[:-5000])
    site = tmp_path / "site.yaml"
    site.write_text("sources: {sans: sans}\n")
    done = launch(grid, tmp_path / "store", site)
    assert done.returncode == 2
    assert f"{grid}:5: pretrain.0.source:" in done.stderr and tar.name in done.stderr
    assert not (tmp_path / "store").exists()
