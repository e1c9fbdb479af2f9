"""`status` on screens of 60, 80 and 120 columns, compared whole: no id is cut."""

from io import StringIO
from pathlib import Path

import pytest

from hpc_xfer.monitoring import status_tables
from hpc_xfer.monitoring.shown_table import ShownTable, fitting_columns
from hpc_xfer.study.state_words import STATES
from hpc_xfer.system.screen.plain_console import PlainConsole
from tests.monitoring.states import TABLES_AT_120, study_state

AT_60 = """\
pre-training
run          pre-training      state          step to go job
425f0b02e627 supervised [bold] done
             256 seed 0
5dc77cc5589d supervised [bold] running 1,200/5,000 2.0 h 12
             256 seed 1
fine-tuning
data set shots runs done running starting pending failed
digits       5    4    1       1        1              1
digits    full    2                             2
running
run           fine-tuning                  step  to go  job
75c210059d6a  supervised [bold]     1,200/5,000  2 min  13_0
              256 seed 0 -> digits
              5 shots, draw 0, ft,
              lr 0.002
fa637f256f58  supervised [bold]        starting         14_0
              256 seed 0 -> digits
              5 shots, draw 0, ft,
              lr 0.004
"""
AT_80 = """\
pre-training
run          pre-training          state          step samples/s waits to go job
425f0b02e627 supervised [bold] 256 done
             seed 0
5dc77cc5589d supervised [bold] 256 running 1,200/5,000       812   20% 2.0 h 12
             seed 1
fine-tuning
data set  shots  runs  done  running  starting  pending  failed  to go
digits        5     4     1        1         1                1  2 min
digits     full     2                                 2
running
run           fine-tuning                     step  samples/s  to go  job   node
75c210059d6a  supervised [bold] 256    1,200/5,000        812  2 min  13_0  n3
              seed 0 -> digits 5
              shots, draw 0, ft, lr
              0.002
fa637f256f58  supervised [bold] 256       starting                    14_0  n4
              seed 0 -> digits 5
              shots, draw 0, ft, lr
              0.004
"""


@pytest.mark.parametrize(("width", "screen"), [(60, AT_60), (80, AT_80), (120, TABLES_AT_120)])
def test_tables_fit_the_screen(width: int, screen: str, tmp_path: Path) -> None:
    console = PlainConsole(file=StringIO(), width=width, highlight=False, markup=False, emoji=False)
    status_tables.show(study_state(tmp_path), console)
    assert isinstance(console.file, StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    tables = lines[: next(i for i, line in enumerate(lines) if line.startswith("8 runs"))]
    assert "\n".join(tables) + "\n" == screen
    assert max(map(len, tables)) <= width


def test_counts_in_every_state_are_told_in_words_where_no_table_fits() -> None:
    """A count that is cut is another count."""
    columns = ("data set", "shots", "runs", *STATES, "to go")
    row = ["caltech101", "full", "40,000", *(f"{1000 + n:,}" for n in range(8)), "2.0 h"]
    table = ShownTable("fine-tuning", columns, [row, row], ["done"] * 2, least=("to go", "runs"))
    words = (
        "caltech101: shots full, runs 40,000, done 1,000, running 1,001, starting 1,002, pending "
        "1,003, blocked 1,004, failed 1,005, lost 1,006, missing 1,007, to go 2.0 h"
    )
    console = PlainConsole(file=(told := StringIO()), width=60)
    console.print(table.drawn())
    assert " ".join(told.getvalue().split()) == f"fine-tuning {words} {words}"
    console.print(table.drawn(most=1))
    *_, row_in_one_line, more = told.getvalue().splitlines()
    assert row_in_one_line.endswith("\u2026") and more == "... 1 more row"


def test_empty_columns_go_before_any_other() -> None:
    table = ShownTable("t", ("run", "node", "why"), [["c0ffee12ab34", "", "Priority"]], ["pending"],
                       least=("why",))  # fmt: skip
    assert fitting_columns(table, table.rows, 22) == ([0, 2], 2)
    assert fitting_columns(table, table.rows, 21) == ([0, 2], 1)
    assert fitting_columns(table, table.rows, 20) == ([0], 2)
    assert fitting_columns(table, table.rows, 5) == ([0], 1)  # the id stays whole
