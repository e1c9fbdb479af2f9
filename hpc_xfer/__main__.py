"""Run a command, or list them all: `python -m hpc_xfer launch`, or `hpc_xfer launch`."""

import argparse
import sys
from collections.abc import Sequence

from hpc_xfer import cli
from hpc_xfer.system import terminal

COMMANDS = {
    "launch": "run or submit what a study still needs, then collect and report",
    "status": "show the state of a study, and explain it",
    "cancel": "remove the jobs of a study from the queue",
    "cost": "estimate GPU-hours, time, disk and files before a launch",
    "doctor": "check that the cluster is ready for a study",
    "collect": "turn records into CSV tables",
    "import": "take results from elsewhere into a study",
    "report": "turn tables into figures and one HTML page",
    "datasets": "list, fetch and check downstream data sets",
    "shards": "make, index and check tar shards",
    "store": "show what a store takes on disk, and clean it",
    "completion": "print a script that lets the shell complete commands and options",
    "relay": "keep a launched study going; Slurm runs it",
    "job": "run one pack and supervise its worker; Slurm runs it",
    "worker": "execute packs; launchers run it",
}


def main() -> None:
    """Run the command that the first argument names; without one, list the commands.

    Calls exit with 2 where there is no such command.
    """
    program = "hpc_xfer" if sys.argv[0].endswith("hpc_xfer") else "python -m hpc_xfer"
    name, *arguments = sys.argv[1:] or [""]
    if name in COMMANDS:
        sys.argv = [f"{program} {name}", *arguments]
        cli.exit_with(main_of(name))
    sys.argv[0] = program
    cli.exit_with(_without_command)


def main_of(name: str) -> cli.Main:
    """Return the function `main` of a command."""
    from importlib import import_module

    module = f"hpc_xfer.{name}.__main__" if name in _FOLDERS else f"hpc_xfer.{name}"
    found: cli.Main = import_module(module).main
    return found


_FOLDERS = ("store",)  # commands that are a folder


def _without_command(argv: Sequence[str] | None) -> int:
    """Answer --help and --version, and name the nearest of a misspelt command."""
    program = sys.argv[0]
    parser = cli.CommandParser(
        prog=program,
        usage=f"%(prog)s COMMAND [options]\n\nexample:\n  {program} launch grids/demo/demo.yaml "
        "--site grids/demo/demo.site.yaml",
        description="Find out which pre-training transfers best.\n\ncommands:\n" + _listed(),
        epilog=f"`{program} COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_version(parser)
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    args, _ = parser.parse_known_args(argv)
    if argv is None and sys.argv[1:] and sys.argv[1].startswith("-"):  # that only a command has
        hint = cli.nearest(sys.argv[1:2], ["--help", "--version"])
        parser.error(f"name a command before {sys.argv[1]}{hint}")
    if args.command is not None:
        hint = cli.nearest([args.command], list(COMMANDS)) or f"; `{program}` lists the commands"
        terminal.say(f"there is no command {args.command!r}{hint}", stderr=True)
        return 2
    parser.print_help()
    return 0


def _listed() -> str:
    return "\n".join(f"  {name:<12}{does}" for name, does in COMMANDS.items())


if __name__ == "__main__":
    main()
