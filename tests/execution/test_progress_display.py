"""A launch on this machine says how far it is, in few lines where there is no terminal."""

from pathlib import Path

import pytest

from hpc_xfer.config.resources import Resources
from hpc_xfer.execution.progress_display import Display
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from tests import tiny

RUN = tiny.pretraining("supervised")


def test_a_log_gets_the_counts_at_once_and_then_seldom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first at once even on a machine that was booted this second, when its clock says 0."""
    clock = iter([0.0, 1.0, 2.0, 60.0, 61.0])
    plan = Plan((RUN,), Resources())
    with Display(plan, Store(tmp_path), set(), clock=lambda: next(clock)) as display:
        display.refresh([RUN.id])
        assert capsys.readouterr().err == "pre-training 0/1\n"
        display.refresh([RUN.id])
        display.refresh([RUN.id])
        assert capsys.readouterr().err == ""
        display.refresh([RUN.id])
        assert capsys.readouterr().err == "pre-training 0/1\n"
    assert capsys.readouterr().err == "pre-training 0/1\n"


def test_what_failed_and_what_waits_for_it_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    children = tuple(tiny.finetuning(RUN, draw=draw) for draw in range(3))
    with Display(Plan((RUN, *children), Resources()), Store(tmp_path), set()) as display:
        display.failed(RUN.id, "data", "a shard is broken", None)
        display.blocked([run.id for run in children[:2]])
        display.blocked([run.id for run in children])
    assert capsys.readouterr().err.splitlines() == [
        f"failed: {display.title(RUN.id)} ({RUN.id}): data: a shard is broken",
        "pre-training 0/1, fine-tuning 0/3, 1 failed, 3 blocked",
    ]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an editor or on a console of a service; live bars would show nothing till the end."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")
    with Display(Plan((RUN,), Resources()), Store(tmp_path), set()) as display:
        display.refresh([RUN.id])
        assert capsys.readouterr().err == "pre-training 0/1\n"


def test_each_process_of_another_launch_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny.pretraining("scratch")
    display = Display(Plan((RUN, other), Resources()), Store(tmp_path), set())
    for by in ({"pid": 5, "host": "n1", "slurm_job": "7_3"}, {"pid": 6, "host": "n1"}):
        display.held(RUN.id, by)
        display.held(other.id, by)
    assert capsys.readouterr().err.splitlines() == [
        f"waiting for {display.title(RUN.id)} ({RUN.id}), held by process 5 on host n1, in job 7_3",
        f"waiting for {display.title(RUN.id)} ({RUN.id}), held by process 6 on host n1",
    ]
