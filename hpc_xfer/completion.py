"""Print a script that lets a shell complete commands, options and grid files.

eval "$(hpc_xfer completion bash)"
"""

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hpc_xfer import cli
from hpc_xfer.system import terminal

_MODULE = "hpc_xfer"


@dataclass(frozen=True)
class Words:
    """Words that may follow a command, or a command of a command: read from its parser."""

    path: str  # `launch`, or `datasets fetch`
    help: str
    options: dict[str, str]  # with their help
    values: dict[str, list[str]]  # of options and arguments that have choices
    takes_value: list[str]  # options
    names: list[str]  # that may follow: commands of this command, or choices of its arguments
    files: str  # that may follow: `yaml` for grids, `any`, or "" for none


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser(
        "completion",
        "Print a script by which a shell completes commands, options and grid files. To have it "
        'in each new shell, add to ~/.bashrc: eval "$(hpc_xfer completion bash)"; to ~/.zshrc, '
        'below compinit: eval "$(hpc_xfer completion zsh)"; for fish: hpc_xfer completion fish > '
        "~/.config/fish/completions/hpc_xfer.fish",
        "python -m hpc_xfer.completion bash",
    )
    parser.usage = (parser.usage or "").replace("[options]", "[options] SHELL", 1)
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], metavar="SHELL",
                        help="bash, zsh or fish")  # fmt: skip
    args = parser.parse_args(argv)
    terminal.say(script(args.shell), lines=True)
    return 0


def script(shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    package: Any = import_module(f"{_MODULE}.__main__")  # a command may import no other one
    found: list[Words] = []
    for name, does in package.COMMANDS.items():
        found += _words(name, does, cli.parser_of(package.main_of(name)))
    top = Words("", "", {"--help": "", "--version": ""}, {}, [], list(package.COMMANDS), "")
    match shell:
        case "fish":
            return "\n".join(_fish(found))
        case "zsh":
            return "\n".join(_zsh([top, *found]))
    return "\n".join(_bash([top, *found]))


def _words(path: str, does: str, parser: argparse.ArgumentParser) -> Iterator[Words]:
    options: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    takes_value: list[str] = []
    names: list[str] = []
    files = ""
    for action in parser._actions:
        long = [option for option in action.option_strings if option.startswith("--")]
        told = parser._get_formatter()._expand_help(action) if action.help else ""
        options |= dict.fromkeys(long, told)
        choices = [str(choice) for choice in action.choices or ()]
        if long and action.nargs != 0:
            takes_value += long
            values |= dict.fromkeys(long, choices) if choices else {}
        if not action.option_strings:
            names += choices
            alternatives = str(action.metavar).split(" | ")  # `clean | GRID` of `store`
            names += [word for word in alternatives[:-1] if word.islower()]
            if action.nargs != argparse.PARSER and not choices and action.help != argparse.SUPPRESS:
                files = "yaml" if "GRID" in alternatives[-1] and files != "any" else "any"
            if isinstance(action, argparse._SubParsersAction):
                helps = {each.dest: each.help or "" for each in action._choices_actions}
                for name, sub in action.choices.items():
                    yield from _words(f"{path} {name}", helps.get(name, ""), sub)
    yield Words(path, does, options, values, takes_value, names, files)


def _bash(commands: Sequence[Words]) -> Iterator[str]:
    """Write a function of bash."""
    yield "_hpc_xfer() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
    yield '    local typed="" each found="" files=""'
    yield '    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do'
    yield from _found(commands)
    yield "    COMPREPLY=()"
    yield '    if [ "$files" = any ]; then compopt -o default 2>/dev/null; return; fi'
    yield '    if [ -n "$found" ]; then COMPREPLY=($(compgen -W "$found" -- "$word")); fi'
    yield '    if [ -n "$files" ]; then'
    yield "        compopt -o filenames 2>/dev/null"
    yield "        local IFS=$'\\n'"
    yield '        COMPREPLY+=($(compgen -f -X "!*.@(yaml|yml)" -- "$word"))'
    yield '        COMPREPLY+=($(compgen -d -- "$word"))'
    yield "    fi"
    yield "}"
    yield "shopt -s extglob 2>/dev/null"
    yield "complete -F _hpc_xfer hpc_xfer"


def _zsh(commands: Sequence[Words]) -> Iterator[str]:
    """Write a function of zsh."""
    yield "_hpc_xfer() {"
    yield "    local word=${words[CURRENT]} before=${words[CURRENT-1]}"
    yield '    local typed="" each found="" files=""'
    yield '    for each in "${(@)words[2,CURRENT-1]}"; do'
    yield from _found(commands)
    yield '    if [ -n "$found" ]; then compadd -- ${=found}; fi'
    yield '    case "$files" in'
    yield "        any) _files ;;"
    yield "        yaml) _files -g '*.(yaml|yml)' ;;"
    yield "    esac"
    yield "}"
    yield "compdef _hpc_xfer hpc_xfer"


def _found(commands: Sequence[Words]) -> Iterator[str]:
    """Write the part that bash and zsh read alike: `found` are words, `files` any or yaml."""
    yield '        case "$typed $each" in'
    for command in commands[1:]:
        yield f'            " {command.path}") typed=" {command.path}" ;;'
    yield "        esac"
    yield "    done"
    yield '    case "${typed# }" in'
    for command in commands:
        yield f'        "{command.path}")'
        yield '            case "$before" in'
        for option, choices in command.values.items():
            yield f'                {option}) found="{" ".join(choices)}" ;;'
        if free := [option for option in command.takes_value if option not in command.values]:
            yield f"                {'|'.join(free)}) files=any ;;"
        files = f" files={command.files}" if command.files else ""
        words = " ".join([*command.names, *command.options])
        yield f'                *) found="{words}"{files} ;;'
        yield "            esac ;;"
    yield "    esac"
    yield '    case "$word" in'
    yield '        -*) files="" ;;'
    yield '        "") if [ -n "$files" ]; then found=""; fi ;;'
    yield "    esac"


def _fish(commands: Sequence[Words]) -> Iterator[str]:
    """Write a line for each word, as fish wants it."""
    yield "complete -c hpc_xfer -f"
    yield "complete -c hpc_xfer -n __fish_use_subcommand -l help -d 'show this help'"
    yield "complete -c hpc_xfer -n __fish_use_subcommand -l version -d 'show the version'"
    for command in commands:
        *above, name = command.path.split()
        after = f"'{_seen(above)}'" if above else "__fish_use_subcommand"
        yield f"complete -c hpc_xfer -n {after} -a {name} -d {_in_fish(command.help)}"
        seen = f"'{_seen(command.path.split())}'"
        subs = {each.path for each in commands}
        plain = [each for each in command.names if f"{command.path} {each}" not in subs]
        if plain:
            yield f"complete -c hpc_xfer -n {seen} -a '{' '.join(plain)}'"
        if command.files == "yaml":
            yield f"complete -c hpc_xfer -n {seen} -k -a '(__fish_complete_suffix .yaml)'"
        elif command.files:
            yield f"complete -c hpc_xfer -n {seen} -F"
        for option, told in command.options.items():
            needs = ""
            if option in command.takes_value:
                choices = command.values.get(option)
                needs = f" -x -a '{' '.join(choices)}'" if choices else " -r -F"
            yield f"complete -c hpc_xfer -n {seen} -l {option[2:]}{needs} -d {_in_fish(told)}"


def _in_fish(text: str) -> str:
    """Quote a text, shortened to a line of a terminal."""
    brief = textwrap.shorten(text, 80, placeholder=" ...").replace("\\", "\\\\")
    return "'" + brief.replace("'", "\\'") + "'"


def _seen(words: Sequence[str]) -> str:
    return "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words)


if __name__ == "__main__":
    cli.exit_with(main)
