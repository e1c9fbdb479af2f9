"""A long step says how far it is, in few lines where there is no terminal."""

import pytest

from hpc_xfer.system.terminal import shown


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
