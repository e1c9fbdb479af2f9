"""What README and docs/ show: fenced blocks, and the commands of console and bash blocks.

    commands("docs/launch.md")      # ["python -m hpc_xfer.launch ...", ...]
    commands_of_heads()             # those of the comments that open grids/*.yaml
    simple_commands("make slurm && sinfo")      # [["make", "slurm"], ["sinfo"]]
    complaint(["python", "-m", "hpc_xfer.launch", "--dry"])     # what is wrong with it; None

A command is not run here: its own parser reads its arguments, and nothing else happens.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from hpc_xfer.__main__ import COMMANDS, main_of
from hpc_xfer.cli import parser_of

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))

# Programs of others; what they are told here is not looked at.
_OF_OTHERS = {
    "cat", "cd", "chmod", "echo", "git", "less", "nvidia-smi", "printf", "rm", "scancel", "sed",
    "sinfo", "source", "squeue", "tensorboard",
}  # fmt: skip
# Options of img2dataset 1.47: it is not installed here.
_IMG2DATASET = {
    "url_list", "input_format", "url_col", "caption_col", "output_folder", "output_format",
    "image_size", "resize_mode", "resize_only_if_bigger", "encode_quality",
    "number_sample_per_shard", "processes_count", "thread_count", "save_additional_columns",
    "incremental_mode",
}  # fmt: skip
_BETWEEN = {"&&", "||", "|", ";", "(", ")"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: str) -> list[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^##+ (.*)$", text_of(page), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def fences(page: str, language: str, start: str = "") -> list[str]:
    """The blocks of a language that begin so, without the indentation that they have in lists."""
    pattern = rf"^( *)```{language}\n(.*?)^ *```"
    found = re.findall(pattern, text_of(page), flags=re.DOTALL | re.MULTILINE)
    blocks = [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]
    return [block for block in blocks if block.startswith(start)]


def commands(page: str) -> list[str]:
    """The lines of console and bash blocks that a person types."""
    lines = [line for fence in fences(page, "console") for line in fence.splitlines()]
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return typed + [line for fence in fences(page, "bash") for line in fence.splitlines()]


def commands_of_heads() -> list[str]:
    """The commands in the comments that open grids, site files and scripts of sbatch."""
    texts = [path.read_text() for path in sorted([*ROOT.glob("grids/**/*.yaml")])]
    return [line for text in texts for line in re.findall(r"^#   ((?:python|cp|make) .*)$", text,
                                                          flags=re.MULTILINE)]  # fmt: skip


def commands_in_sentences(page: str) -> list[list[str]]:
    """Commands with options that stand in a sentence, such as `launch --retry-failed`."""
    text = re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    start = re.compile(r"(?:python -m hpc_xfer\.|python -m hpc_xfer |hpc_xfer )?(\w+) ")
    found = []
    for code in re.findall(r"`([^`\n]+ --?\w[^`\n]*)`", text):
        if (match := start.match(code)) and match[1] in COMMANDS:
            found.append([match[1], *code[match.end() :].split()])
    return found


def options_of(name: str) -> set[str]:
    """The options of a command and of its own commands."""
    top = parser_of(main_of(name))
    nested = [action.choices for action in top._actions if isinstance(action.choices, dict)]
    parsers = [top, *(each for choices in nested for each in choices.values())]
    return {option for parser in parsers for option in parser._option_string_actions}


def examples_of_help() -> list[str]:
    """The examples with which --help of each command opens."""
    found: list[str] = []
    for name in COMMANDS:
        top = parser_of(main_of(name))
        nested = [action.choices for action in top._actions if isinstance(action.choices, dict)]
        for parser in [top, *(each for choices in nested for each in choices.values())]:
            found += re.findall(r"^  (python -m .*)$", str(parser.usage), flags=re.MULTILINE)
    return found


def simple_commands(line: str) -> Iterator[list[str]]:
    """Split a line at pipes and the like; comments, variables and redirections are left out."""
    if evaluated := re.fullmatch(r'eval "\$\((.*)\)"(?:\s+#.*)?', line):
        line = evaluated[1]
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter([*lexer, ";"])
    for token in tokens:
        if token in _BETWEEN:
            if words:
                yield words
            words = []
        elif token in (">", ">>"):
            next(tokens)
        elif words or not re.match(r"[A-Z_]+=", token):
            words.append(token)


def complaint(words: list[str]) -> str | None:
    """Say what is wrong with a command; None if nothing is."""
    program, arguments = words[0].split("/")[-1], words[1:]
    match program:
        case "python" | "python3":
            return _python(arguments)
        case "hpc_xfer":
            return _of_the_package(arguments)
        case "make":
            named = [word for word in arguments if "=" not in word]
            absent = [name for name in named if f"\n{name}:" not in text_of("Makefile")]
            return f"no target {absent[0]}" if absent else None
        case "pip":
            files = [b for a, b in itertools.pairwise(arguments) if a == "-r"]
            return _absent(*files)
        case "cp" | "sbatch":
            return _absent(arguments[0])
        case "img2dataset":
            options = {word.removeprefix("--") for word in arguments if word.startswith("--")}
            return f"no option {min(options - _IMG2DATASET)}" if options - _IMG2DATASET else None
        case _:
            return None if program in _OF_OTHERS else f"{program} is no program that we know"


def _absent(*files: str) -> str | None:
    lost = [name for name in files if not (ROOT / name).exists()]
    return f"no file {lost[0]}" if lost else None


def _python(arguments: list[str]) -> str | None:
    match arguments:
        case ["-c", code]:
            compile(code, "command", "exec")
            return None
        case ["-m", "venv" | "pytest", *_]:
            return None
        case ["-m", "hpc_xfer", *rest]:
            return _of_the_package(rest)
        case ["-m", module, *rest]:
            return _parsed(module, rest)
        case [script, *_]:
            return _absent(script)
    return "python alone"


def _of_the_package(arguments: list[str]) -> str | None:
    """`hpc_xfer launch ...` is `python -m hpc_xfer.launch ...`."""
    if not arguments or arguments[0].startswith("-"):
        return None
    if arguments[0] not in COMMANDS:
        return f"no command {arguments[0]}"
    return _parsed(f"hpc_xfer.{arguments[0]}", arguments[1:])


class _Parsed(Exception):
    """A command has read its arguments."""


def _parsed(module: str, arguments: list[str]) -> str | None:
    """Let the parser of a module read arguments; its complaint, None if it takes them."""
    found = importlib.util.find_spec(module)
    if found is None:
        return f"no module {module}"
    if found.submodule_search_locations is not None:
        module = f"{module}.__main__"
    main = importlib.import_module(module).main
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *given: Any, **named: Any) -> NoReturn:
        parse(self, *given, **named)
        raise _Parsed

    told = io.StringIO()
    stopping = patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop)
    called = patch.object(sys, "argv", [module, *arguments])
    out = contextlib.redirect_stdout(io.StringIO())
    try:
        with stopping, called, out, contextlib.redirect_stderr(told):
            main()
    except _Parsed:
        return None
    except SystemExit as end:
        return None if end.code == 0 else told.getvalue().splitlines()[-1]
    return f"{module} has read no arguments"
