"""Consoles and streams show text of others as text; colours of their own stay."""

import io
import json
import sys

import pytest
from rich.live import Live
from rich.progress import Progress
from rich.table import Table

from hpc_xfer.system import terminal
from hpc_xfer.system.screen.plain_console import PlainConsole, line

EVIL = "a\x1b[2J\u202eb\r\x9bc\nfake"
SHOWN = r"a\x1b[2J\u202eb\r\x9bc\nfake"


def test_a_string_is_printed_in_one_line_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.console().print(EVIL, soft_wrap=True)
    terminal.say(EVIL)
    assert capsys.readouterr().out == f"{SHOWN}\n{SHOWN}\n"


def test_a_cell_is_as_wide_as_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", EVIL, title=EVIL)
    table.add_row(EVIL, line(EVIL))
    terminal.console().print(table)
    lines = capsys.readouterr().out.splitlines()
    assert len({len(each) for each in lines[1:]}) == 1
    assert [each.count(SHOWN) for each in lines] == [1, 0, 1, 0, 2, 0]


def test_markup_and_names_of_pictures_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print("[red]node[/red] :cat:")
    assert capsys.readouterr().out == "[red]node[/red] :cat:\n"


def test_in_a_terminal_colours_and_moves_are_those_of_rich() -> None:
    screen = PlainConsole(file=io.StringIO(), force_terminal=True, highlight=False, width=80)
    screen.print(EVIL, style="bold")
    with Live(console=screen, auto_refresh=False) as live:
        live.update(line(EVIL), refresh=True)
    with Progress(console=screen, auto_refresh=False) as bars:
        bars.add_task(EVIL)
    printed = screen.file.getvalue()  # type: ignore[attr-defined]
    assert printed.startswith(f"\x1b[1m{SHOWN}\x1b[0m\n")
    assert "\x1b[2J" not in printed and "\u202e" not in printed and "\x9b" not in printed


def test_a_guarded_stream_lets_no_control_character_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # restored after the test
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    terminal.guard_streams()
    terminal.guard_streams()
    print("\x1b[2Ja\nb\t\x07")
    sys.stderr.writelines(["\u202e", "c\r\n"])
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("\\x1b[2Ja\nb\t\\x07\n", "\\u202ec\\r\n")


def test_json_holds_what_was_given_and_no_control_character(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.say_json({"a": EVIL + "\x7f"}, indent=None)
    printed = capsys.readouterr().out
    assert printed.isascii() and printed.rstrip("\n").isprintable()
    assert json.loads(printed) == {"a": EVIL + "\x7f"}
