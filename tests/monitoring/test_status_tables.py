"""The tables and sentences that `status` shows, compared whole."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.monitoring import status_tables
from hpc_xfer.monitoring.status_json import as_json
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store.submission_ledger import Ledger
from hpc_xfer.study.cost_estimate import RunCosts, Speed
from hpc_xfer.system import terminal
from tests.monitoring.states import (
    FEW,
    MANY,
    PLAN,
    TABLES_AT_120,
    TWO,
    all_in,
    beat,
    element,
    line,
    study_state,
    submission,
)

Shown = Callable[[StudyState], list[str]]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Draws a study as a log shows it, line by line."""

    def draw(state: StudyState) -> list[str]:
        status_tables.show(state, terminal.console())
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return draw


SHOWN = f"""{TABLES_AT_120}\
8 runs: 2 done, 2 running, 1 starting, 2 pending, 1 failed
about 2.0 h to go with 3 processes, as now
waiting: 2: an earlier job has not ended (Slurm: Dependency)
supervised [bold] 256 seed 1 waits for data 20% of the time: more resources.pretrain.workers or faster storage would speed it up
failed: nan: 1 (the loss was not finite; a lower learning rate helps)
  the loss is nan at step 7
  a78d14cc65e3; more with --why RUN
to try them again, once the cause is fixed: python -m hpc_xfer.launch a.yaml --retry-failed"""  # noqa: E501


def test_a_study_in_the_middle(tmp_path: Path, shown: Shown) -> None:
    assert "\n".join(shown(study_state(tmp_path))) == SHOWN


def test_fine_tunings_of_a_data_set_that_wait_for_data_are_told_together(
    tmp_path: Path, shown: Shown
) -> None:
    state = study_state(tmp_path)
    waits = {FEW[1].id: 0.5, FEW[2].id: 0.3, MANY[0].id: 0.1}
    running = {
        run: RunStatus("running", element=element("13", i), progress=beat(110, waited))
        for i, (run, waited) in enumerate(waits.items())
    }
    lines = shown(replace(state, status={**state.status, **running}))
    assert (
        "3 fine-tunings on digits wait for data 30% of the time: more resources.finetune.workers "
        "or faster storage would speed it up"
    ) in lines


def test_where_there_are_gpus_it_is_they_that_wait(tmp_path: Path, shown: Shown) -> None:
    state = study_state(tmp_path)
    on_gpus = state.plan.with_costs(RunCosts({}, Speed(10e12)))
    assert (
        "the GPU of supervised [bold] 256 seed 1 waits for data 20% of the time: more "
        "resources.pretrain.workers or faster storage would speed it up"
    ) in shown(replace(state, plan=on_gpus))


def test_a_study_that_is_over_tells_where_its_report_is(tmp_path: Path, shown: Shown) -> None:
    over = all_in(study_state(tmp_path), RunStatus("done"))
    launch = "python -m hpc_xfer.launch a.yaml"
    assert shown(over)[-1] == f"no report is there; to collect and report: {launch}"
    relay = submission("20", "r", kind="relay", batch=None)
    log = over.store.study("s").logs / "20_0_log.out"
    log.parent.mkdir(exist_ok=True)
    log.touch()
    assert shown(replace(over, ledger=Ledger(over.store, {"r": relay})))[-1] == (
        f"no report is there; see the log of its last relay, {log}; to collect and report: {launch}"
    )
    report = over.store.study("s").report
    report.touch()
    assert shown(over)[-2:] == ["8 runs: 8 done", f"report: {report}"]
    ended = replace(over, status={**over.status, TWO.id: RunStatus("missing")})
    assert shown(ended)[-2:] == [
        f"nothing works on the rest; to go on: {launch}", f"report: {report}",
    ]  # fmt: skip


def test_what_no_launch_tries_again_is_told_with_the_way_to_do_so(
    tmp_path: Path, shown: Shown
) -> None:
    retry = "to try them again, once the cause is fixed: python -m hpc_xfer.launch a.yaml "
    state = study_state(tmp_path)
    assert f"{retry}--retry-failed" in shown(state)
    transient = RunStatus("failed", "preempted", "the node was taken")
    others = replace(state, status={**state.status, FEW[2].id: transient})
    assert not any(line.startswith(retry) for line in shown(others))


def test_a_study_that_was_never_launched_says_so_in_one_line(tmp_path: Path, shown: Shown) -> None:
    fresh = all_in(study_state(tmp_path, launched=False), RunStatus("missing"))
    assert shown(fresh) == [
        "nothing of this study has been launched (its 8 runs are missing); launch it: "
        "python -m hpc_xfer.launch a.yaml"
    ]
    assert as_json(fresh)["launched"] is False


def test_a_store_that_is_not_there_is_told_since_a_launch_may_have_had_another(
    tmp_path: Path, shown: Shown
) -> None:
    fresh = all_in(study_state(tmp_path / "runs", launched=False), RunStatus("missing"))
    assert " ".join(shown(fresh)).replace(str(tmp_path), "") == (
        "nothing of this study has been launched (its 8 runs are missing); there is no store "
        "/runs, so if it was launched, name the --site or --store of its launch; else launch it: "
        "python -m hpc_xfer.launch a.yaml"
    )


def test_runs_of_other_studies_are_shown_before_a_first_launch(
    tmp_path: Path, shown: Shown
) -> None:
    fresh = all_in(study_state(tmp_path, launched=False), RunStatus("missing"))
    known = replace(fresh, status={**fresh.status, TWO.id: RunStatus("done")})
    assert shown(known)[-2:] == [
        "8 runs: 1 done, 7 missing",
        "nothing of this study has been launched (1 of its 8 runs were done for other studies); "
        "launch it: python -m hpc_xfer.launch a.yaml",
    ]


def test_a_cancelled_study_says_so(tmp_path: Path, shown: Shown) -> None:
    """The jobs of a moment ago are neither running nor lost."""
    state = all_in(study_state(tmp_path), RunStatus("missing", "cancelled"))
    ending = RunStatus(
        "missing", "being cancelled", element=element("12"), line=line("12", "COMPLETING")
    )
    state = replace(state, status={**state.status, TWO.id: ending})
    state.store.study("s").cancelled.touch()
    assert shown(state)[-4:] == [
        "8 runs: 8 missing",
        "this study was cancelled; to go on: python -m hpc_xfer.launch a.yaml",
        "missing: cancelled: 7 (launch the study again to run them)",
        "missing: being cancelled: 1 (Slurm is ending their jobs)",
    ]
    assert as_json(state)["cancelled"] is True


def test_a_run_that_a_process_elsewhere_executes_shows_that_process(
    tmp_path: Path, shown: Shown
) -> None:
    """Its job in the queue only waits for it."""
    who = "process 7 on host login1, in job 40"
    state = study_state(tmp_path)
    away = RunStatus("running", who, element=element("12"), line=line("12", "RUNNING", nodes="n9"))
    state = replace(state, status={**state.status, TWO.id: away, FEW[1].id: away})
    rows = [row for row in shown(state) if TWO.id in row or FEW[1].id in row]
    assert len(rows) == 2 and all(who in row and "n9" not in row for row in rows)
    told = as_json(state)["runs"][TWO.id]
    assert told == {"state": "running", "why": who, "owner": who}


def test_reasons_are_told_in_words_beside_slurms_own(tmp_path: Path, shown: Shown) -> None:
    state = study_state(tmp_path)
    waits = {MANY[0].id: RunStatus("pending", "None"), MANY[1].id: RunStatus("pending", "Gremlins")}
    lines = shown(replace(state, status={**state.status, **waits}))
    assert "waiting: 1: Slurm starts them at any moment" in lines
    assert "waiting: 1: Gremlins" in lines
    assert as_json(state)["runs"][MANY[0].id] == {
        "state": "pending", "why": "Dependency", "meaning": "an earlier job has not ended",
    }  # fmt: skip


def test_the_relay_is_told_with_what_it_waits_for(tmp_path: Path, shown: Shown) -> None:
    state = study_state(tmp_path)
    ledger = Ledger(state.store, {"r": submission("20", "r", kind="relay", batch=None)})
    pending = line("20", "PENDING", name="r", reason="Dependency")
    queue = Queue({"20": pending})
    told = shown(replace(state, ledger=ledger, queue=queue))
    assert told[-1] == "relay: job 20, pending: an earlier job has not ended (Slurm: Dependency)"
    stranger = Queue({"20": replace(pending, name="sleep")})
    told = shown(replace(state, ledger=ledger, queue=stranger))
    assert told[-1] == "no relay is in the queue; to go on: python -m hpc_xfer.launch a.yaml"


def test_notes_are_shown_and_told_to_scripts(tmp_path: Path, shown: Shown) -> None:
    noted = replace(study_state(tmp_path), notes=["jobs of another store are in the queue"])
    assert "jobs of another store are in the queue" in shown(noted)
    assert as_json(noted)["notes"] == ["jobs of another store are in the queue"]
    assert len(as_json(noted)["runs"]) == len(PLAN.runs)
