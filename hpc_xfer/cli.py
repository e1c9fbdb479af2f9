"""Share among all commands: exit codes, the parser, and the arguments of a study."""

import argparse
import io
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from hpc_xfer.errors import NothingSelected, OutputLost, StudyError, XferError
from hpc_xfer.system import permissions, set_aside, terminal

if TYPE_CHECKING:  # imported where they are used, so that --help starts at once
    from hpc_xfer.config.site import Site
    from hpc_xfer.store.store import Store

INTERRUPTED = "interrupted; launch again to go on from here"
Main = Callable[[Sequence[str] | None], int]
T = TypeVar("T")


def exit_with(main: Main) -> None:
    """Run a command and exit: 0 fine, 1 something failed, 2 the grid or the call is wrong."""
    _print_any_character()
    terminal.guard_streams()
    # For what Python starts of itself (loaders, pools): it would import from the working folder.
    os.environ["PYTHONSAFEPATH"] = "1"  # since Python 3.11
    # Whatever the user's umask: what a store holds is run or trusted by jobs, also the scripts and
    # logs that Slurm and libraries write. sbatch passes our umask on to the job. `load_site` lets
    # a group write where the site says so.
    permissions.withhold_writing()
    code = _code_of(main)
    terminal.outlive_readers()  # whatever is left to tell, the command has ended
    lost = terminal.finish_output()
    terminal.say(*lost, *set_aside.sentences(), stderr=True)
    sys.exit(code or (1 if lost else 0))


def _code_of(main: Main) -> int:
    """Run a command; tell its error in one sentence, and return its exit code."""
    try:
        return main(None)
    except OutputLost:  # told at the end
        return 1
    except XferError as error:
        terminal.say(*error.sentences, stderr=True)
        return error.exit_code
    except KeyboardInterrupt as stop:
        terminal.say("; ".join([_interrupted(main), *map(str, stop.args)]), stderr=True)
        return 130
    except UnicodeEncodeError as error:  # by the system, of a path; our output has escapes
        advice = "call again with LC_ALL=C.UTF-8" if error.encoding != "utf-8" else "rename it"
        lacks = f"has a character that the encoding {error.encoding} of this locale lacks"
        terminal.say(f"{error.object!a}: {lacks}; {advice}", stderr=True)
        return 2
    except BrokenPipeError:  # `... | head` closed its end; not an error of ours
        return 0
    except SystemExit as end:  # of argparse
        if not isinstance(end.code, int):
            raise
        return end.code


def _interrupted(main: Main) -> str:
    """Say how to go on after Ctrl-C."""
    module = main.__module__
    if module == "__main__":  # python -m hpc_xfer.collect
        spec = getattr(sys.modules[module], "__spec__", None)
        module = spec.name if spec else ""
    package, _, command = module.removesuffix(".__main__").partition(".")
    if package != __package__ or command == "launch":
        return INTERRUPTED
    return f"interrupted; call {command} again"


def say_json(content: Mapping[str, object], **form: Any) -> None:
    """Print the JSON of a command on a study, with what was set aside in its store."""
    studies = content.get("studies")
    parts = [content, *(studies if isinstance(studies, list) else [])]
    # A count, in `collect`.
    key = "set_aside_files" if any("set_aside" in each for each in parts) else "set_aside"
    terminal.say_json({**content, key: set_aside.sentences()}, **form)


def _print_any_character() -> None:
    """Let stdout print a character that its encoding lacks as an escape, as stderr does."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):
        return
    if out.errors == "strict" or out.encoding.lower() != "utf-8":
        out.reconfigure(errors="backslashreplace")


class CommandParser(argparse.ArgumentParser):
    """A parser that names the nearest option of a misspelt one, and that can be looked at."""

    is_looked_at = False  # see parser_of

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if CommandParser.is_looked_at:
            raise _Made(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        words = message.partition("unrecognized arguments: ")[2].split()
        known = [option for option in self._option_string_actions if option.startswith("--")]
        super().error(message + nearest([word.partition("=")[0] for word in words], known))


class _Made(Exception):
    """Ends a command that has made its parser."""

    def __init__(self, made: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = made


def parser_of(main: Main) -> argparse.ArgumentParser:
    """Return the parser of a command, which does nothing else: each begins by parsing."""
    CommandParser.is_looked_at = True
    try:
        main([])
    except _Made as made:
        return made.parser
    finally:
        CommandParser.is_looked_at = False
    raise TypeError(f"{main.__module__} does not begin by parsing its arguments")


def nearest(words: Sequence[str], known: Sequence[str]) -> str:
    """Return `; did you mean --watch?` for the first word that is like a known one, else ""."""
    import difflib  # takes 5 ms, which only mistakes need pay

    names = {name.lstrip("-"): name for name in known}  # dashes make --out and --set alike
    found = (difflib.get_close_matches(word.lstrip("-"), names, 1) for word in words)
    return next((f"; did you mean {names[each[0]]}?" for each in found if each), "")


def parser(module: str, description: str, example: str) -> argparse.ArgumentParser:
    """Make a parser whose --help opens with an example, in the words of the caller."""
    written = f"python -m hpc_xfer.{module}"
    program = sys.argv[0] if sys.argv[0].endswith(f"hpc_xfer {module}") else written
    made = CommandParser(
        prog=program,
        usage=f"%(prog)s [options]\n\nexample:\n  {example.replace(written, program)}",
        description=description if "\n" in description else textwrap.fill(description, 79),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_version(made)
    return made


class _ShowVersion(argparse.Action):
    """Prints version, commit and Python, which takes a call of git, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        import platform

        from hpc_xfer.system import provenance

        code = provenance.code()
        commit = str(code["commit"])[:12] if code["commit"] else "not from a checkout"
        changed = ", changed since" if code["dirty"] else ""
        version = f"hpc_xfer {code['version']} (commit {commit}{changed})"
        terminal.say(f"{version}, Python {platform.python_version()}")
        parser.exit()


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add --version."""
    parser.add_argument(
        "--version", action=_ShowVersion, nargs=0, help="show version, commit and Python, and exit"
    )


def add_grid_arguments(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add the arguments of every command on a study: GRID, --store, --site; see `store_of`.

    Args:
        several: take one grid or more, as `grids`; see `each_grid`.
    """
    word = "GRID..." if several else "GRID"
    parser.usage = (parser.usage or "").replace("[options]", f"[options] {word}", 1)
    if several:
        parser.add_argument(
            "grids", type=Path, nargs="+", metavar="GRID", help="study files, at least one"
        )
    else:
        parser.add_argument("grid", type=Path, metavar="GRID", help="the study file")
    add_store_arguments(parser)
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="change the grid: pretrain.0.batch=512; again for more (default: nothing at a launch, "
        "else what the last launch had; see docs/grid.md)",
    )


def add_store_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --store and --site; see `store_of`."""
    parser.add_argument(
        "--store", metavar="DIR",
        help="folder of the runs (default: the site's, else ./runs)",
    )  # fmt: skip
    parser.add_argument(
        "--site", type=Path, metavar="FILE",
        help="settings of this cluster (default: $HPC_XFER_SITE, else "
        "~/.config/hpc_xfer/site.yaml, else none)",
    )  # fmt: skip


def add_only_argument(parser: argparse.ArgumentParser) -> None:
    """Add --only, which selects a part of the study; see study/selected/only.py."""
    parser.add_argument(
        "--only",
        action="append",
        metavar="COLUMN=VALUE",
        help="a part of the study: method=clip,shots=1|5 or run=ID|ID; again for more",
    )


def each_grid(args: argparse.Namespace) -> list[argparse.Namespace]:
    """Return the arguments of a command on several grids for each of them, as `grid`."""
    grids = without_sites(args.grids)
    return [argparse.Namespace(**{**vars(args), "grid": grid}) for grid in grids]


def without_sites(grids: Sequence[Path]) -> Sequence[Path]:
    """Leave out site files, which `grids/*.yaml` names too, and say so; a single file stays."""
    sites = [path for path in grids if path.name.endswith((".site.yaml", ".site.yml"))]
    if not sites or len(grids) == 1:
        return grids
    terminal.say(f"left out, as site files: {', '.join(map(str, sites))}", stderr=True)
    return [path for path in grids if path not in sites]


def check_each_grid(args: argparse.Namespace, check: Callable[[argparse.Namespace], T]) -> list[T]:
    """Check every grid; those with no run that --only selects are told, and left out.

    Raises:
        StudyError: of all grids that are wrong; or --only selects nothing in any.
        XferError: of the first grid of which something else is wrong.
    """
    grids = each_grid(args)
    found: list[T] = []
    wrong: list[str] = []
    without: list[str] = []
    for each in grids:
        try:
            found.append(check(each))
        except NothingSelected as error:
            if len(grids) == 1:
                raise
            without += _named(each, error)
        except StudyError as error:
            wrong += error.sentences
    if wrong or not found:
        raise StudyError(*(wrong or without))
    terminal.say(*(f"left out: {sentence}" for sentence in without), stderr=True)
    return found


def _named(args: argparse.Namespace, error: StudyError) -> list[str]:
    """The sentences of an error with the grid that they are about."""
    return [f"{args.grid}: {sentence}" for sentence in error.sentences]


Answer = tuple[int, Mapping[str, Any]]  # exit code, content of --json


def for_each_grid(args: argparse.Namespace, answer: Callable[[argparse.Namespace], Answer]) -> int:
    """Answer for each grid, with its name above the answer; return the highest exit code.

    With --json one object is printed: that of the grid, or `studies`, a list of them.

    Args:
        answer: prints for readers unless --json is given.

    Raises:
        StudyError: --only selects nothing in any grid; one of several is told and left out.
    """
    code, contents, left_out = 0, [], 0
    for number, one in enumerate(each := each_grid(args)):
        if len(each) > 1 and not args.json:
            terminal.say(*[""][: min(number, 1)], f"== {one.grid}")
        try:
            own, content = answer(one)
        except NothingSelected as error:  # by --only
            if len(each) == 1:
                raise
            left_out += 1
            if left_out == len(each):
                raise StudyError(*_named(one, error)) from None
            terminal.say(*(f"left out: {why}" for why in _named(one, error)), stderr=True)
            own, content = 0, {"grid": str(one.grid), "left_out": str(error)}
        except XferError as error:  # of one of several: the others are answered
            if len(each) == 1:
                raise
            terminal.say(*error.sentences, stderr=True)
            own, content = error.exit_code, {"grid": str(one.grid), "error": str(error)}
        code = max(code, own)
        contents.append(content)
    if args.json:
        say_json(contents[0] if len(each) == 1 else {"schema": 1, "studies": contents})
    return code


def again_in_store(args: argparse.Namespace) -> list[str]:
    """Return the options by which another command finds the same store and site."""
    options = ["--store", args.store] if args.store else []
    return options + (["--site", str(args.site)] if args.site else [])


def again(args: argparse.Namespace, *more: str) -> str:
    """Return the arguments by which another command finds the same study."""
    options = again_in_store(args)
    options += [word for change in args.set or () for word in ("--set", change)]
    options += [word for each in getattr(args, "only", None) or () for word in ("--only", each)]
    return shlex.join([str(args.grid), *options, *more])


def store_of(given: str | None, site: "Site") -> "Store":
    """Return the store of --store, else of the site, else ./runs."""
    from hpc_xfer.store.store import Store

    return Store(Path(given or site.store or "runs"), site.trust_store_members)
