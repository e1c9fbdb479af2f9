"""`python -m hpc_xfer COMMAND` and the console script `hpc_xfer` run every command."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.__main__ import COMMANDS, main_of
from hpc_xfer.cli import parser_of
from hpc_xfer.completion import script
from tests.conftest import ROOT


def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "hpc_xfer", *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT)


def test_help_lists_each_command_in_a_line() -> None:
    told = call("--help").stdout
    for name, does in COMMANDS.items():
        assert f"  {name:<12}{does}\n" in told


def test_a_command_speaks_of_itself_as_it_was_called() -> None:
    told = call("launch", "--help").stdout
    assert told.startswith("usage: python -m hpc_xfer launch [options] GRID...\n")
    assert "\n  python -m hpc_xfer launch grids/demo/demo.yaml" in told


@pytest.mark.parametrize("words", [["datasets", "fetch"], ["shards", "index"]])
def test_so_does_a_part_of_a_command(words: list[str]) -> None:
    told = call(*words, "--help").stdout
    assert f"\n  python -m hpc_xfer {' '.join(words)} " in told
    assert "python -m hpc_xfer." not in told.partition("\n\npositional")[0]


@pytest.mark.parametrize("arguments", [["--version"], ["status", "--version"]])
def test_the_version_tells_commit_and_python(arguments: list[str]) -> None:
    told = call(*arguments)
    assert re.fullmatch(r"hpc_xfer \d+\.\d+\.\d+ \(.+\), Python 3\.\d+\.\d+\n", told.stdout)
    assert told.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["lunch", "a.yaml"], "there is no command 'lunch'; did you mean launch?"),
        (["zzz"], "there is no command 'zzz'; `python -m hpc_xfer` lists the commands"),
        (["--verison"], "name a command before --verison; did you mean --version?"),
        (["--site", "a.yaml"], "name a command before --site\n"),
        (["report", "a.yaml", "--out", "b"], "unrecognized arguments: --out b\n"),
        (["status", "a.yaml", "--wacth"], "--wacth; did you mean --watch?"),
    ],
)
def test_what_is_misspelt_gets_the_nearest(arguments: list[str], hint: str) -> None:
    told = call(*arguments)
    assert told.returncode == 2
    assert hint in told.stderr


def test_ctrl_c_before_a_command_has_begun_shows_no_traceback() -> None:
    """It comes while the package is imported, which takes a second on a slow file system."""
    code = "import sys; sys.argv = ['-m']; import hpc_xfer; raise KeyboardInterrupt"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (told.returncode, told.stderr) == (-signal.SIGINT, "interrupted\n")


def test_the_package_installs_the_command() -> None:
    assert 'hpc_xfer = "hpc_xfer.__main__:main"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    for action in parser_of(main_of(name))._actions:
        assert action.help or action.dest == "command", action.option_strings or action.dest


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    (folder / "script").write_text(script("bash"))
    quoted = " ".join(f"'{word}'" for word in words)
    ask = f"""
source ./script
COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}
_hpc_xfer
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", ask], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_choices_and_grids(tmp_path: Path) -> None:
    (tmp_path / "sizes.yaml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "grids").mkdir()
    assert completed(tmp_path, "hpc_xfer", "sta") == ["status"]
    assert completed(tmp_path, "hpc_xfer", "status", "--wa") == ["--watch"]
    assert completed(tmp_path, "hpc_xfer", "launch", "--on", "") == ["slurm", "local"]
    assert completed(tmp_path, "hpc_xfer", "launch", "") == ["sizes.yaml", "grids"]
    assert completed(tmp_path, "hpc_xfer", "launch", "--dry-run", "s") == ["sizes.yaml"]
    assert completed(tmp_path, "hpc_xfer", "datasets", "fe") == ["fetch"]
    assert "pets" in completed(tmp_path, "hpc_xfer", "datasets", "fetch", "p")
    assert completed(tmp_path, "hpc_xfer", "store", "cl") == ["clean"]


IN_ZSH = """
compdef() { }
compadd() { print -l -- ${argv[2,-1]} }
_files() { print -- files $argv }
"""


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("completion ''", "bash\nzsh\nfish\n--help\n--version\n"),
        ("launch --on ''", "slurm\nlocal\n"),
        ("launch ''", "files -g *.(yaml|yml)\n"),
        ("launch --store ''", "files\n"),
        ("import ''", "files\n"),  # a CSV
        ("shards index ''", "files\n"),
        ("datasets fetch --to ''", "files\n"),
    ],
)
def test_zsh_is_offered_words_and_files(typed: str, offered: str) -> None:
    """It keeps those that begin as the last word does."""
    words = f"words=(hpc_xfer {typed}); CURRENT=${{#words}}; _hpc_xfer"
    text = "\n".join([IN_ZSH, script("zsh"), words])
    done = subprocess.run(["zsh", "-f", "-c", text], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (offered, "")


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_commands_options_and_choices(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script("fish"))

    def offered(typed: str) -> list[str]:
        ask = f"source script; complete -C '{typed}'"
        done = subprocess.run(["fish", "-N", "-c", ask], cwd=tmp_path, capture_output=True,
                              text=True, check=True)  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()

    told = "a part of the study: method=clip,shots=1|5 or run=ID|ID; again for more"
    assert f"--only\t{told}" in offered("hpc_xfer launch --on")
    assert [line.split("\t")[0] for line in offered("hpc_xfer sta")] == ["status"]
    assert {line.split("\t")[0] for line in offered("hpc_xfer launch --on ")} == {"slurm", "local"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_every_command(shell: str) -> None:
    text = script(shell)
    assert all(name in text for name in COMMANDS)
