"""Share among all commands: exit codes, the parser, and the arguments of a study."""

import argparse
import io
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.errors import XferError
from hpc_xfer.system import permissions, set_aside, terminal

if TYPE_CHECKING:  # imported where they are used, so that --help starts at once
    from hpc_xfer.config.site import Site
    from hpc_xfer.store.store import Store

INTERRUPTED = "interrupted; launch again to go on from here"
Main = Callable[[Sequence[str] | None], int]


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
    try:
        try:
            code = main(None)
        finally:
            sys.stdout.flush()  # here, so that a reader that went away raises BrokenPipeError below
    except XferError as error:
        terminal.say(*error.sentences, stderr=True)
        code = error.exit_code
    except KeyboardInterrupt as stop:
        terminal.say("; ".join([INTERRUPTED, *map(str, stop.args)]), stderr=True)
        code = 130
    except BrokenPipeError:  # `... | head` closed its end; not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    terminal.say(*set_aside.sentences(), stderr=True)
    sys.exit(code)


def say_json(content: Mapping[str, object], **form: Any) -> None:
    """Print the JSON of a command on a study, with what was set aside in its store."""
    key = "set_aside_files" if "set_aside" in content else "set_aside"  # a count, in `collect`
    terminal.say_json({**content, key: set_aside.sentences()}, **form)


def _print_any_character() -> None:
    """Let stdout print a character that its encoding lacks as an escape, as stderr does."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):
        return
    if out.errors == "strict" or out.encoding.lower() != "utf-8":
        out.reconfigure(errors="backslashreplace")


def parser(module: str, description: str, example: str) -> argparse.ArgumentParser:
    """Make a parser whose --help opens with an example."""
    return argparse.ArgumentParser(
        prog=f"python -m hpc_xfer.{module}",
        usage=f"%(prog)s [options]\n\nexample:\n  {example}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_grid_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every command on a study: GRID, --store, --site; see `store_of`."""
    parser.usage = (parser.usage or "").replace("[options]", "[options] GRID", 1)
    parser.add_argument("grid", type=Path, metavar="GRID", help="the study file")
    parser.add_argument("--store", metavar="DIR", help="folder of the runs (default: the site's)")
    parser.add_argument("--site", type=Path, metavar="FILE", help="settings of this cluster")
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="change the grid: pretrain.0.batch=512; again for more (docs/grid.md)",
    )


def again(args: argparse.Namespace, *more: str) -> str:
    """Return the arguments by which another command finds the same study."""
    options = ["--store", args.store] if args.store else []
    options += ["--site", str(args.site)] if args.site else []
    options += [word for change in args.set or () for word in ("--set", change)]
    return shlex.join([str(args.grid), *options, *more])


def store_of(given: str | None, site: "Site") -> "Store":
    """Return the store of --store, else of the site, else ./runs."""
    from hpc_xfer.store.store import Store

    return Store(Path(given or site.store or "runs"), site.trust_store_members)
