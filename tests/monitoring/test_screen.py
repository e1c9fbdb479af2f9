"""`status --watch` fits a screen of any height; what matters most stays in sight."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hpc_xfer.config.resources import Resources
from hpc_xfer.monitoring import screen
from hpc_xfer.monitoring.shown_table import ShownTable, rows_that_fit
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store.submission_ledger import Ledger
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.state_words import State
from tests import tiny
from tests.monitoring.states import line, study_state, submission

HEIGHTS = [10, 24, 200]
MANY = 60  # pre-trainings


def a_screen(height: int, width: int = 100) -> Console:
    return Console(file=StringIO(), width=width, height=height, markup=False, highlight=False)


def shown(state: StudyState, console: Console) -> list[str]:
    console.print(screen.fitted(state, console))
    assert isinstance(console.file, StringIO)
    return [row.rstrip() for row in console.file.getvalue().splitlines()]


def large_study(folder: Path) -> StudyState:
    """Failures of two classes in the middle of 60 pre-trainings, and a relay in the queue."""
    runs = [tiny.pretraining("supervised", seed=seed) for seed in range(MANY)]
    waits = {run.id: RunStatus("pending", "Priority") for run in runs}
    failed = {
        runs[30].id: RunStatus("failed", "nan", "the loss is nan at step 7"),
        runs[31].id: RunStatus("lost", "node failure", "job 4 ended without a result"),
    }
    state = study_state(folder)
    relay = submission("20", "r", kind="relay", batch=None)
    return replace(
        state,
        plan=Plan(tuple(runs), Resources()),
        status={**waits, **failed},
        ledger=Ledger(state.store, {"r": relay}),
        queue=Queue({"20": line("20", "PENDING", name="r", reason="Dependency")}),
    )


@pytest.mark.parametrize("height", HEIGHTS)
def test_summary_failures_and_relay_are_shown_on_a_screen_of_any_height(
    tmp_path: Path, height: int
) -> None:
    rows = shown(large_study(tmp_path), a_screen(height))
    assert len(rows) < height
    for start in (f"{MANY} runs: 58 pending, 1 failed, 1 lost", "failed: nan: 1",
                  "lost: node failure: 1", "relay: job 20, pending"):  # fmt: skip
        assert any(row.startswith(start) for row in rows), start


def test_a_table_that_is_cut_shows_what_failed_and_counts_the_rest(tmp_path: Path) -> None:
    state = large_study(tmp_path)
    rows = shown(state, a_screen(24))
    listed = [row for row in rows if row[:12] in state.status]
    assert {"failed", "lost"} <= {word for row in listed for word in row.split()}
    assert f"... {MANY - len(listed)} more rows" in rows


def test_a_high_screen_shows_everything(tmp_path: Path) -> None:
    rows = shown(large_study(tmp_path), a_screen(200))
    assert not any("more rows" in row or "more lines" in row for row in rows)
    assert len(rows) == 2 + MANY + 10


def test_a_narrow_screen_keeps_the_ids(tmp_path: Path) -> None:
    state = large_study(tmp_path)
    rows = shown(state, a_screen(200, width=60))
    assert sum(row[:12] in state.status for row in rows) == MANY


def test_many_classes_of_failure_leave_the_summary_and_the_relay(tmp_path: Path) -> None:
    state = large_study(tmp_path)
    status = {run: RunStatus("failed", f"kind {i}", "why") for i, run in enumerate(state.status)}
    rows = shown(replace(state, status=status), a_screen(10))
    assert len(rows) < 10
    assert rows[0] == f"{MANY} runs: {MANY} failed"
    assert rows[-2].startswith("relay: job 20")
    assert rows[-1].endswith("more lines; `status` without --watch has all")


def table(rows: int) -> ShownTable:
    states: list[State] = ["pending"] * rows
    return ShownTable("t", ("a",), [["x"]] * rows, states)


def test_tables_share_the_lines_that_there_are() -> None:
    assert rows_that_fit([table(3), table(20)], 100) == [3, 20]
    assert rows_that_fit([table(3), table(20)], 15) == [3, 7]  # 2 + 3, 2 + 7 and a line of dots
    assert rows_that_fit([table(3), table(20)], 3) == [0, 0]
    assert rows_that_fit([], 0) == []


def test_a_long_explanation_is_cut_to_the_screen() -> None:
    console = a_screen(10)
    console.print(screen.fitted_lines([f"line {i}" for i in range(30)], console))
    assert isinstance(console.file, StringIO)
    rows = console.file.getvalue().splitlines()
    assert (len(rows), rows[0], rows[-1]) == (9, "line 0", "... 22 more lines")
