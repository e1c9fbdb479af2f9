"""A long step says how far it is, in few lines where there is no terminal."""

import re
import subprocess
import sys

import pytest

from hpc_xfer.system.terminal import shown, shown_bytes, size


def test_a_log_gets_a_line_per_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("packing") as progress:
        for done in range(0, 2001, 10):
            progress(done, 2000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "packing: 200 of 2,000, less than a minute to go"
    assert lines[-1] == "packing: 2,000 of 2,000"


def test_what_was_done_before_tells_nothing_about_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shown("packing") as progress:
        progress(1500, 2000)
    assert capsys.readouterr().err == "packing: 1,500 of 2,000\n"


def test_bytes_are_shown_with_their_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_bytes("real.zip") as progress:
        progress(0, 0)  # the total is not known yet
        progress(0, 2_000_000)
        progress(1_000_000, 2_000_000)
    shown_line = capsys.readouterr().err
    assert re.fullmatch(r"real\.zip: 1 MB of 2 MB, [\d.]+ \w?B/s, less than .*\n", shown_line)


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1500, "1.5 kB"), (169_001_437, "169 MB"),
     (999_600_000, "1 GB"), (999_999, "1 MB"), (2_860_000_000, "2.86 GB"),
     (6_492_615_601, "6.49 GB"), (3.2e15, "3200 TB"), (5e15, "5000 TB")],
)  # fmt: skip
def test_a_number_of_bytes_in_words(number: float, words: str) -> None:
    assert size(number) == words


def test_no_file_gets_the_number_of_a_closed_standard_stream() -> None:
    """What a library prints there would go into the file."""
    code = "import os; from hpc_xfer.system import terminal as t; t.guard_streams(); "
    code += "os._exit(os.open('/dev/null', os.O_RDONLY))"
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code])
    assert done.returncode == 3
