"""All commands share exit codes and the place of the store."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from hpc_xfer import cli
from hpc_xfer.config.site import Site
from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.system import machine, terminal
from hpc_xfer.system.screen.output_stream import OutputStream
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (StudyError("a.yaml:1: no"), 2, "a.yaml:1: no\n"),
        (StoreError("/x: full"), 1, "/x: full\n"),
        (KeyboardInterrupt(), 130, "interrupted; launch again to go on from here\n"),
    ],
)
def test_errors_of_ours_are_one_sentence_and_a_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: Sequence[str] | None) -> int:
        raise error

    with pytest.raises(SystemExit) as caught:
        cli.exit_with(main)
    assert (caught.value.code, capsys.readouterr().err) == (code, told)


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_path_that_the_locale_cannot_write_is_told_in_one_sentence(tmp_path: Path) -> None:
    """It stands in a file in UTF-8, and the system takes the bytes of the locale."""
    grid, site = tmp_path / "a.yaml", tmp_path / "site.yaml"
    grid.write_text("name: x\nquestion: Why?\npretrain: {method: scratch, arch: RN50}\n")
    site.write_text(f"store: {tmp_path}/stör\n", encoding="utf-8")
    called = subprocess.run(
        [sys.executable, "-m", "hpc_xfer", "status", str(grid), "--site", str(site)],
        env={**os.environ, **ASCII}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (called.returncode, called.stdout) == (2, "")
    assert called.stderr.endswith(
        "has a character that the encoding ascii of this locale lacks; call again with "
        "LC_ALL=C.UTF-8\n"
    )
    assert called.stderr.count("\n") == 1 and r"st\xf6r" in called.stderr


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("utf-8", "0.5 ± 0.1 →\n".encode()),
        ("latin-1", b"0.5 \xb1 0.1 \\u2192\n"),
        ("ascii", b"0.5 \\xb1 0.1 \\u2192\n"),
    ],
)
def test_a_character_that_the_locale_lacks_is_printed_as_its_code(
    encoding: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(argv: Sequence[str] | None) -> int:
        print("0.5 ± 0.1 →")
        return 0

    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
    with pytest.raises(SystemExit) as caught:
        cli.exit_with(main)
    assert (caught.value.code, out.getvalue()) == (0, printed)


def printing(*, to: IO[str] | None, monkeypatch: pytest.MonkeyPatch, is_work: bool = False) -> int:
    """The exit code of a command that fails by itself, and prints a table before."""

    def main(argv: Sequence[str] | None) -> int:
        if is_work:
            terminal.outlive_readers()
        terminal.console().print("a table")
        return 7

    monkeypatch.setattr(OutputStream, "outlives_readers", False)
    monkeypatch.setattr(sys, "stdout", to)
    with pytest.raises(SystemExit) as caught:
        cli.exit_with(main)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_reader_that_goes_away_ends_a_look_but_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """`status GRID | head` has its lines; `launch GRID | head` does what it was called for."""
    for is_work, code in ((False, 0), (True, 7)):
        read, write = os.pipe()
        os.close(read)
        with open(write, "w") as out:
            assert printing(to=out, monkeypatch=monkeypatch, is_work=is_work) == code


def test_output_that_a_full_disk_does_not_take_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_work, code in ((False, 1), (True, 7)):
        with open("/dev/full", "w") as out:
            assert printing(to=out, monkeypatch=monkeypatch, is_work=is_work) == code
        assert capsys.readouterr().err == (
            "/dev/full cannot be written (No space left on device): its end is missing\n"
        )


def test_a_closed_standard_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printing(to=None, monkeypatch=monkeypatch) == 7


def test_ctrl_c_tells_to_call_the_command_that_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: Sequence[str] | None) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "__module__", "hpc_xfer.collect")
    with pytest.raises(SystemExit) as caught:
        cli.exit_with(main)
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted; call collect again\n"


def test_a_bug_of_ours_shows_its_trace() -> None:
    def main(argv: Sequence[str] | None) -> int:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        cli.exit_with(main)


def _code(code: int, argv: Sequence[str] | None) -> int:
    return code


def test_the_code_of_a_command_is_that_of_the_process() -> None:
    for code in (0, 1):
        with pytest.raises(SystemExit) as caught:
            cli.exit_with(partial(_code, code))
        assert caught.value.code == code


def test_the_store_is_the_given_one_else_the_sites_else_runs() -> None:
    site = Site(store="/site")
    assert cli.store_of("/given", site).root == Path("/given")
    assert cli.store_of(None, site).root == Path("/site")
    assert cli.store_of(None, Site()).root == Path("runs")


def test_cores_are_those_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert machine.cores() == len(allowed)
