"""Doors that all code has to use: to the terminal, to files of others, between ranks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import MODULES, name_of, tree


def called(module: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls by dotted name."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_what_is_read_from_files_is_never_run_as_code() -> None:
    """Pickles are: torch reads weights alone, YAML is loaded safely, nothing else unpickles."""
    refused = ("pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "eval", "exec")
    loads = 0
    for path in MODULES:
        for name, call in called(tree(path)):
            told = {option.arg: ast.unparse(option.value) for option in call.keywords}
            assert name not in refused and told.get("allow_pickle") != "True", path
            if name == "torch.load":
                loads += 1
                assert told.get("weights_only") == "True", path
            if name == "yaml.compose":
                assert told.get("Loader") in ("_Loader", "yaml.SafeLoader"), (
                    path
                )  # the first is one
    assert loads


# Doors to the terminal; all else prints through them, since a text may come from others.
PRINTERS = {"system/terminal.py", "system/screen/plain_console.py", "__main__.py"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_text_reaches_a_terminal_through_one_door(path: Path) -> None:
    if name_of(path) in PRINTERS:
        return
    for name, call in called(tree(path)):
        assert name not in ("print", "sys.stdout.write", "sys.stderr.write", "Console"), call.lineno


def test_ranks_exchange_no_pickles_and_torch_runs_no_program() -> None:
    """Calls that end in `_object` send pickles; torch.jit.load runs what a file holds."""
    loads: dict[str, set[str]] = {"torch.load": set(), "safetensors.torch.load_file": set()}
    for path in MODULES:
        for name, _ in called(tree(path)):
            assert not re.match(r"(dist|torch\.distributed)\..*_object(_list)?$", name), path
            assert name not in ("torch.jit.load", "torch.hub.load", "joblib.load"), path
            loads.get(name, set()).add(name_of(path))
    assert loads == {
        "torch.load": {"compute/models/files/held_file.py"},
        "safetensors.torch.load_file": {"compute/models/state_files.py"},
    }
