"""What stands on the login node starts at once, and the rooms of the house keep their order."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from hpc_xfer.__main__ import COMMANDS

PACKAGE = Path(__file__).parent.parent / "hpc_xfer"
FLAT = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))
ROOMS = ("tasks", "training", "data")
HEAVY = ("torch", "torchvision", "open_clip", "webdataset", "matplotlib", "numpy", "scipy",
         "sklearn", "pandas", "PIL", "tensorboard")  # fmt: skip


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(nodes: Iterable[ast.stmt]) -> set[str]:
    """Dotted names that these statements import, `from a import b` as a and a.b."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def on_import(parent: ast.AST) -> Iterator[ast.stmt]:
    """What runs when the file is imported: no functions, no `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.stmt):
            yield node
        yield from on_import(node)


def anywhere(module: ast.Module) -> list[ast.stmt]:
    return [node for node in ast.walk(module) if isinstance(node, ast.stmt)]


def test_flat_files_import_without_what_only_jobs_need() -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))\n"
    load = f"import importlib\nfor name in {FLAT!r}: importlib.import_module('hpc_xfer.' + name)\n"
    subprocess.run([sys.executable, "-c", block + load], check=True)


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_file_needs_no_room_when_it_is_imported(name: str) -> None:
    rooms = tuple(f"hpc_xfer.{room}" for room in ROOMS)
    found = imported(on_import(tree(PACKAGE / f"{name}.py")))
    assert [module for module in found if module.startswith((*rooms, *HEAVY))] == []


def test_worker_is_the_only_door_to_tasks() -> None:
    doors = [
        name
        for name in FLAT
        if any(
            m.startswith("hpc_xfer.tasks") for m in imported(anywhere(tree(PACKAGE / f"{name}.py")))
        )
    ]
    assert doors == ["worker"]


def test_flat_files_import_each_other_in_one_direction() -> None:
    needs = {
        name: {
            module.removeprefix("hpc_xfer.")
            for module in imported(on_import(tree(PACKAGE / f"{name}.py")))
            if module.removeprefix("hpc_xfer.") in FLAT
        }
        for name in FLAT
    }
    order = list(TopologicalSorter(needs).static_order())  # CycleError names a circle
    assert sorted(order) == FLAT


def test_no_room_imports_a_command() -> None:
    commands = {f"hpc_xfer.{name}" for name in COMMANDS} - {"hpc_xfer.worker"}
    paths = [path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")]
    assert paths
    for path in paths:
        found = imported(anywhere(tree(path)))
        if path.name != "shards.py":
            assert not commands & found, path


def test_rooms_import_in_one_direction() -> None:
    """tasks use training and data; these two know nothing of tasks."""
    for room in ("training", "data"):
        for path in (PACKAGE / room).rglob("*.py"):
            found = imported(anywhere(tree(path)))
            assert not [module for module in found if module.startswith("hpc_xfer.tasks")], path


def test_one_file_draws() -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any("pyplot" in module for module in imported(anywhere(tree(path))))
    }
    assert users <= {"reporting/figures.py"}


def test_one_file_knows_submitit_and_the_commands_of_slurm() -> None:
    words = re.compile(r"(import|from) submitit|\[\"(sbatch|squeue|sacct|scancel|scontrol)\"")
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if words.search(path.read_text(encoding="utf-8"))
    }
    assert {user.split("/")[0] for user in users} == {"slurm"}


def called(module: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls by dotted name."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_what_is_read_from_files_is_never_run_as_code() -> None:
    """Pickles are: torch reads weights alone, YAML is loaded safely, nothing else unpickles."""
    refused = ("pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "eval", "exec")
    loads = 0
    for path in PACKAGE.rglob("*.py"):
        for name, call in called(tree(path)):
            told = {option.arg: ast.unparse(option.value) for option in call.keywords}
            assert name not in refused and told.get("allow_pickle") != "True", path
            if name == "torch.load":
                loads += 1
                assert told.get("weights_only") == "True", path
            if name == "yaml.compose":
                assert told.get("Loader") == "_Loader", path  # a SafeLoader
    assert loads


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


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
    listed = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert listed == list(COMMANDS)
    assert all((PACKAGE / f"{name}.py").exists() for name in listed)


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
    code = f"import sys, hpc_xfer.{name}; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
