"""Every command starts at once on a login node, and its --help shows how to use it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.__main__ import COMMANDS

PACKAGE = Path(__file__).parent.parent / "hpc_xfer"
# Everything but compute/: what a command on the login node may import.
LOGIN_NODE = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if not path.stem.startswith("__") and "compute" not in path.relative_to(PACKAGE).parts
)
HEAVY = ("torch", "torchvision", "open_clip", "webdataset", "matplotlib", "numpy", "scipy",
         "sklearn", "pandas", "PIL", "tensorboard", "submitit", "jinja2")  # fmt: skip


def test_the_login_node_imports_nothing_that_only_jobs_need() -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))\n"
    load = f"import importlib\nfor name in {LOGIN_NODE!r}: importlib.import_module(name)\n"
    subprocess.run([sys.executable, "-c", block + load], check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_opens_with_an_example(name: str) -> None:
    call = [sys.executable, "-m", f"hpc_xfer.{name}", "--help"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    usage, _, rest = done.stdout.partition("\n\nexample:\n")
    assert usage.startswith("usage: ") and "\n\n" not in usage
    assert rest.splitlines()[0].startswith(f"  python -m hpc_xfer.{name} ")


def test_the_package_lists_its_commands() -> None:
    call = [sys.executable, "-m", "hpc_xfer"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    commands = done.stdout.partition("commands:\n")[2].partition("\n\n")[0]
    listed = [line.split()[0] for line in commands.splitlines()]
    assert listed == list(COMMANDS)
    places = [(PACKAGE / f"{name}.py", PACKAGE / name / "__main__.py") for name in listed]
    assert all(any(path.exists() for path in either) for either in places)


def test_a_command_that_is_called_wrongly_ends_with_two(tmp_path: Path) -> None:
    for arguments in (["--no-such-option"], [str(tmp_path / "gone.yaml")]):
        call = [sys.executable, "-m", "hpc_xfer.launch", *arguments]
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr == f"{tmp_path}/gone.yaml: no such file; name an existing one\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    call = [sys.executable, "-m", "hpc_xfer.launch", "--help"]
    done = subprocess.run(call, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_loads_no_tables_and_progress_bars_before_it_draws_one(name: str) -> None:
    """rich takes 40 ms, which --help and --json need not pay."""
    load = f"importlib.import_module('hpc_xfer.{name}')"  # one is named by a keyword: import
    code = f"import importlib, sys; {load}; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
