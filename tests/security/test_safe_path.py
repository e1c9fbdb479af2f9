"""A folder where a user happens to stand gives no code to commands, workers and their children."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.store.code_snapshot import own_command
from tests.conftest import ROOT
from tests.faults import SlurmStudy

MODULES = (
    "argparse", "json", "multiprocessing", "numpy", "open_clip", "pickle", "pydantic", "rich",
    "submitit", "tempfile", "torch", "typing", "yaml",
)  # fmt: skip


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with modules named as those that we import; each leaves a file `ran`."""
    folder = tmp_path / "shared folder"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write('{name} ')\n")
    return folder


def run_in(folder: Path, *call: str, python_path: str = str(ROOT)) -> str:
    """Standard output of a command that was typed in a folder; nothing of the folder has run."""
    env = {**os.environ, "PYTHONPATH": python_path}
    done = subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True)
    assert not (folder / "ran").exists(), (folder / "ran").read_text()
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["launch", "worker", "relay", "compute.node_check"])
def test_a_command_imports_nothing_from_where_it_is_typed(hostile: Path, module: str) -> None:
    assert "usage" in run_in(hostile, sys.executable, "-m", f"hpc_xfer.{module}", "--help")


@pytest.mark.parametrize("python_path", [f":{ROOT}", f"{ROOT}:", f":{ROOT}::"])
def test_an_empty_entry_of_pythonpath_is_not_the_folder_where_a_command_is_typed(
    hostile: Path, python_path: str
) -> None:
    """`export PYTHONPATH=$PYTHONPATH:/mine` makes one where the variable was not set."""
    call = (sys.executable, "-m", "hpc_xfer.launch", "--help")
    assert "usage" in run_in(hostile, *call, python_path=python_path)


def test_a_worker_that_a_job_starts_imports_nothing_from_there(hostile: Path) -> None:
    assert "usage" in run_in(hostile, *own_command("worker"), "--help")


def test_a_study_runs_on_this_machine_from_such_a_folder(
    hostile: Path, tmp_path: Path, shards: Path
) -> None:
    study = SlurmStudy(tmp_path, shards, method="scratch")
    run_in(hostile, *study.command("launch", "--on", "local", "--jobs", "1"))
    assert study.store.study("faults").report.exists()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no PYTHONSAFEPATH")
def test_the_processes_of_a_pool_import_nothing_from_there(hostile: Path, tmp_path: Path) -> None:
    call = [sys.executable, "-m", "hpc_xfer.shards", "characters", str(tmp_path / "made")]
    call += ["--samples", "64", "--classes", "4", "--source", "sans"]
    run_in(hostile, *call)
    run_in(hostile, *call[:3], "check", str(tmp_path / "made/sans"), "--workers", "2")


def test_a_checkout_is_found_by_commands_that_are_typed_in_it() -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    call = [sys.executable, "-m", "hpc_xfer.launch", "--help"]
    done = subprocess.run(call, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "usage" in done.stdout


def test_the_script_of_tensorboard_imports_nothing_from_where_it_is_submitted(
    hostile: Path, tmp_path: Path
) -> None:
    """Nor does the line in it that looks for a free port."""
    (hostile / "socket.py").write_text(f"open({str(hostile / 'ran')!r}, 'a').write('socket ')\n")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -m ] || exec {sys.executable} "$@"\necho "$PYTHONSAFEPATH $*"\n'
    )
    python.chmod(0o755)
    names = (f"PYTHON={python}", "STORE=runs", "STUDY=demo", "LOGIN=login", "USER=me")
    told = run_in(hostile, "env", *names, "bash", str(ROOT / "sbatch/tensorboard.sbatch"))
    assert re.search(r"-L (\d+):127\.0\.0\.1:\1 me@", told)
    assert "\n1 -m tensorboard.main --logdir runs/studies/demo/tb --host 127.0.0.1 " in told
