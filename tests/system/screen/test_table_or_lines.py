"""A plan shows whole ids and settings on any screen: as a table, or as a line per run."""

import io

import pytest

from hpc_xfer.system.screen.plain_console import PlainConsole
from hpc_xfer.system.screen.table_or_lines import TableOrLines

TABLE = TableOrLines(
    "pre-training",
    ["run", "method", "samples", "seed", "state"],
    [
        ["c0ffee12ab34", "clip", "1,000,000", "0", "to do"],
        ["ba5eba11c0de", "scratch", "", "", "done"],
    ],
    left=("run", "method", "state"),
    bare=("method", "state"),
)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, ["pre-training",
              "run           method     samples  seed  state",
              "c0ffee12ab34  clip     1,000,000     0  to do",
              "ba5eba11c0de  scratch                   done"]),
        (43, ["pre-training",
              "run          method    samples seed state",
              "c0ffee12ab34 clip    1,000,000    0 to do",
              "ba5eba11c0de scratch                done"]),
        (40, ["pre-training",
              "c0ffee12ab34: clip, samples 1,000,000,",
              "seed 0, to do",
              "ba5eba11c0de: scratch, done"]),
    ],
)  # fmt: skip
def test_nothing_is_cut_however_narrow_the_screen(width: int, shown: list[str]) -> None:
    PlainConsole(file=(text := io.StringIO()), width=width).print(TABLE)
    assert [line.rstrip() for line in text.getvalue().splitlines()] == shown
