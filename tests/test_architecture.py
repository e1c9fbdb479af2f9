"""The law of the house: which folder may import which, and how large its parts may grow."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from benchmarks.__main__ import CASES
from hpc_xfer.__main__ import COMMANDS

PACKAGE = Path(__file__).parent.parent / "hpc_xfer"


FILES = sorted(PACKAGE.rglob("*.py"))


MODULES = [path for path in FILES if path.name != "__init__.py"]


# Folder -> folders that it may import. Imports inside functions count too; every file may import
# `errors`, and none may import a command. A folder may always import itself.
MAY_IMPORT = {
    "system": set(),
    "config": {"system"},
    "dataset_tools": {"system", "config"},
    "slurm": {"system", "config"},
    "study": {"system", "config"},  # pure: no disk but the files that users write
    "store": {"system", "config", "study"},
    "states": {"system", "config", "study", "store", "slurm"},
    "rehearsing": {"system", "config", "dataset_tools", "study", "store"},
    "disk_usage": {"system", "config", "study", "store", "slurm", "states"},
    "scheduling": {"system", "config", "study", "store", "slurm", "states"},
    "execution": {"system", "config", "study", "store", "slurm"},
    "monitoring": {"system", "config", "study", "store", "slurm", "states"},
    "results": {"system", "config", "study", "store"},
    "reporting": {"system", "config", "study", "store", "results"},
    "compute": {"system", "config", "study", "store"},
}


# Folder of compute/ -> folders of compute/ that it may import; "" is compute/ itself.
MAY_IMPORT_IN_COMPUTE = {
    "images": set(),
    "distributed": set(),
    "models": {"distributed"},
    "shards": {"images"},
    "downstream": {"images", "shards"},
    "shard_tools": {"images", "shards"},
    "training": {"distributed", "models"},
    "pretraining": {"", "distributed", "downstream", "images", "models", "shards", "training"},
    "finetuning": {"", "distributed", "downstream", "images", "models", "training"},
    "": {"distributed", "downstream", "finetuning", "pretraining", "shards", "training"},
}


# The only files outside compute/ that import from it, inside functions.
DOORS = {"worker.py", "shards.py", "datasets.py"}


# What every command shares.
SHARED = {"cli", "errors"}


# The only command in a folder: a flat store.py would have the name of the folder.
COMMAND_OF_STORE = "store/__main__.py"


# doctor starts this file on a compute node by its name, so it parses arguments as a command does.
STARTED_BY_NAME = "compute/node_check.py"


TORCH = {"torch", "torchvision", "open_clip", "webdataset", "safetensors"}


LONGEST_FILE = 350


LONGEST_CLASS = 150


LONGEST_FUNCTION = 60  # without its docstring


MOST_FILES = 14


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def folder_of(path: Path) -> str:
    """The folder below hpc_xfer/, "" for a flat file, and for a command in a folder."""
    if name_of(path) == COMMAND_OF_STORE:
        return ""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def compute_folder_of(path: Path) -> str:
    """The folder below compute/, "" for a file of compute/ itself."""
    parts = path.relative_to(PACKAGE / "compute").parts
    return parts[0] if len(parts) > 1 else ""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, inside functions too: `from a import b` is a.b."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{name_of(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(path: Path) -> Iterator[Path]:
    """The files of this package that a file imports."""
    for dotted in imported(path):
        if dotted.split(".")[0] != "hpc_xfer":
            continue
        parts = dotted.split(".")[1:]
        for length in (len(parts), len(parts) - 1):
            found = PACKAGE.joinpath(*parts[:length]).with_suffix(".py")
            if length and found.exists():
                yield found
                break


def on_import(path: Path) -> Iterator[ast.stmt]:
    """Statements that run when a file is imported: no functions, no `if TYPE_CHECKING`."""

    def within(parent: ast.AST) -> Iterator[ast.stmt]:
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            if isinstance(node, ast.stmt):
                yield node
            yield from within(node)

    return within(tree(path))


def test_a_flat_file_is_a_command_or_what_all_commands_share() -> None:
    flat = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert flat == (set(COMMANDS) - {"store"}) | SHARED


def test_every_folder_has_its_law() -> None:
    assert {folder_of(path) for path in FILES} - {""} == set(MAY_IMPORT)
    inside = [path for path in FILES if folder_of(path) == "compute"]
    assert {compute_folder_of(path) for path in inside} == set(MAY_IMPORT_IN_COMPUTE)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_folder_imports_only_what_it_may(path: Path) -> None:
    folder = folder_of(path)
    for found in own(path):
        other, name = folder_of(found), name_of(found)
        if folder == "":
            assert other != "compute" or path.name in DOORS, f"imports {name}"
            assert other or found.stem in SHARED, f"imports the command {name}"
        elif other == "":
            allowed = SHARED if name_of(path) == STARTED_BY_NAME else {"errors"}
            assert found.stem in allowed, f"imports {name}"
        else:
            assert other in MAY_IMPORT[folder] | {folder}, f"imports {name}"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if folder_of(path) == "compute"], ids=name_of
)
def test_a_folder_of_compute_imports_only_what_it_may(path: Path) -> None:
    folder = compute_folder_of(path)
    for found in own(path):
        if folder_of(found) == "compute":
            other = compute_folder_of(found)
            allowed = MAY_IMPORT_IN_COMPUTE[folder] | {folder}
            assert other in allowed, f"imports {name_of(found)}"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if folder_of(path) != "compute"], ids=name_of
)
def test_only_compute_imports_torch_and_its_friends(path: Path) -> None:
    assert not TORCH & {dotted.split(".")[0] for dotted in imported(path)}


@pytest.mark.parametrize("name", sorted(DOORS))
def test_a_door_opens_inside_functions_only(name: str) -> None:
    for node in on_import(PACKAGE / name):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("hpc_xfer.compute")


def test_no_two_files_import_each_other() -> None:
    needs = {name_of(path): {name_of(found) for found in own(path)} for path in MODULES}
    list(TopologicalSorter(needs).static_order())  # CycleError names the circle


def test_one_folder_knows_submitit_and_the_commands_of_slurm() -> None:
    words = re.compile(
        r"(import|from) submitit|\[\"(sbatch|squeue|sacct|scancel|scontrol|sinfo|sacctmgr)\""
    )
    users = {folder_of(path) for path in MODULES if words.search(path.read_text("utf-8"))}
    assert users == {"slurm"}


def test_one_file_draws() -> None:
    users = {
        name_of(path)
        for path in MODULES
        if any(dotted.startswith("matplotlib") for dotted in imported(path))
    }
    assert users == {"reporting/drawing/canvas.py"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_grows_beyond_what_one_can_read_at_once(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    too_long = [] if text.count("\n") <= LONGEST_FILE else [f"the file: {text.count(chr(10))}"]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            most = LONGEST_CLASS if isinstance(node, ast.ClassDef) else LONGEST_FUNCTION
            if (lines := length(node)) > most:
                too_long.append(f"{node.name}: {lines}")
    assert too_long == []


def length(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a definition; the docstring of a function does not count."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if isinstance(node, ast.ClassDef) or ast.get_docstring(node) is None:
        return lines
    return lines - ((node.body[0].end_lineno or 0) - node.body[0].lineno + 1)


def test_a_folder_can_be_seen_at_a_glance() -> None:
    for folder in {path.parent for path in FILES} - {PACKAGE}:
        assert len([*folder.glob("*.py")]) - 1 <= MOST_FILES, name_of(folder)


def test_no_two_classes_share_a_name() -> None:
    where: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(name_of(path))
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


# Names that everybody in the field knows by these letters.
ALIASES = {
    "numpy": "np",
    "torch.nn.functional": "F",
    "torch.distributed": "dist",
    "pyarrow": "pa",
    "pyarrow.compute": "pc",
    "matplotlib.pyplot": "plt",
}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_imported_under_another_name(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                if alias.asname:
                    assert ALIASES.get(f"{module}{alias.name}") == alias.asname


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    names = {path.stem for path in FILES}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


TESTS = PACKAGE.parent / "tests"


def test_a_file_of_tests_can_be_read_at_once_too() -> None:
    lines = {
        path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in TESTS.rglob("*.py")
    }
    assert {name: n for name, n in lines.items() if n > LONGEST_FILE} == {}


# File -> private names of the package that it uses, and why; at most ten files.
PRIVATE = {
    "compute/shards/test_read_ahead.py": (
        "_thread _queue", "that its thread waits with little in memory is seen nowhere else",
    ),
}  # fmt: skip


def private_names_of_the_package() -> set[str]:
    """Functions, classes, methods, constants and attributes that begin with one underscore."""
    found = set()
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in found if re.match(r"_[^_]", name)}


def reached_into(path: Path) -> Iterator[str]:
    """Names that a test takes from elsewhere: `x._name`, `import _name`, `setattr(x, "_name")`."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name):
                yield name
            case ast.ImportFrom(names=names):
                yield from (alias.name for alias in names)
            case ast.Call(func=ast.Attribute(attr="setattr"), args=[_, ast.Constant() as name, _]):
                yield str(name.value)


def test_tests_use_what_users_of_a_module_use() -> None:
    """A test of a private part fails when the part is written anew, though nothing is broken."""
    private = private_names_of_the_package()
    assert len(PRIVATE) <= 10
    used = {
        path.relative_to(TESTS).as_posix(): set(reached_into(path)) & private - own_names(path)
        for path in TESTS.rglob("*.py")
    }
    allowed = {name: set(names.split()) for name, (names, _) in PRIVATE.items()}
    assert {name: found for name, found in used.items() if found} == allowed


def own_names(path: Path) -> set[str]:
    return {n.name for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def test_every_benchmark_is_run_by_make_bench() -> None:
    folders = {path.parent.name for path in (PACKAGE.parent / "benchmarks").glob("*/__main__.py")}
    assert folders == set(CASES)
