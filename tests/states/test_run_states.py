"""The status of runs, from the store, the ledger and the queue."""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config.resources import Resources
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states import run_states
from hpc_xfer.states.run_states import how_it_ended
from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, read_ledger
from hpc_xfer.study import job_arrays
from hpc_xfer.study.plan import Pack, Plan
from hpc_xfer.system import atomic_files
from tests import tiny
from tests.conftest import Command

PARENT = tiny.pretraining("scratch")
FIRST, SECOND = (tiny.finetuning(PARENT, lr=lr) for lr in (1e-3, 1e-2))
PLAN = Plan((PARENT, FIRST, SECOND), Resources())


@pytest.fixture
def ledger(tmp_path: Path, command: Command) -> Ledger:
    """A parent as job 12, its children as the one element of array 13; all jobs are shown."""
    command("scontrol", "echo 'PrivateData             = none'")
    store = Store(tmp_path)
    found = read_ledger(store)
    for job, runs in (("12", (PARENT,)), ("13", (FIRST, SECOND))):
        batch = job_arrays.JobArray((Pack(runs, 1.0, 1),))
        store.write_manifest("s", batch, {})
        elements = 1 if job == "13" else None
        kind = runs[0].kind
        one = Submission(
            "s", f"job{job}", kind, batch.id, elements, "2026-01-02T03:04:05+00:00", "h", "ada"
        )
        found.record_intent(one)
        found.record_submitted(one, job)
    return found


def states(ledger: Ledger, *lines: QueueLine) -> list[tuple[str, str]]:
    now = run_states.survey(PLAN, ledger.store, ledger, Queue({line.job: line for line in lines}))
    return [(now[run.id].state, now[run.id].why) for run in PLAN.runs]


def line(job: str, state: str, reason: str = "None") -> QueueLine:
    main, _, _ = job.partition("_")
    return QueueLine(job, job, f"job{main}", state, "ada", nodes="n1", reason=reason)


def test_a_pending_run_shows_slurms_reason(ledger: Ledger) -> None:
    lines = line("12", "PENDING", "Priority"), line("13_0", "PENDING", "Dependency")
    assert states(ledger, *lines) == [
        ("pending", "Priority"), ("pending", "Dependency"), ("pending", "Dependency"),
    ]  # fmt: skip


def test_of_a_running_pack_one_run_is_at_work(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "13")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    run_claims.take(ledger.store.run(FIRST.id))
    lines = line("12", "RUNNING"), line("13_0", "RUNNING")
    assert states(ledger, *lines)[1:] == [("running", ""), ("pending", "behind 1 of its pack")]


def test_a_job_that_ended_without_a_word_leaves_lost_runs(ledger: Ledger) -> None:
    lines = line("12", "NODE_FAIL"), line("13_0", "TIMEOUT")
    assert [state for state, _ in states(ledger, *lines)] == ["lost"] * 3
    assert [why for _, why in states(ledger)] == ["killed"] * 3


def test_children_of_a_failed_parent_are_blocked(ledger: Ledger) -> None:
    failures.write(ledger.store.run(PARENT.id), "nan", "the loss is nan", job="12", node="n1")
    lines = line("12", "FAILED"), line("13_0", "CANCELLED", "DependencyNeverSatisfied")
    blocked = ("blocked", f"parent {PARENT.id} failed")
    assert states(ledger, *lines) == [("failed", "nan"), blocked, blocked]


def test_a_job_that_has_the_number_of_ours_and_another_name_is_not_ours(ledger: Ledger) -> None:
    """Numbers begin at 1 again after a controller was reinstalled."""
    other = replace(line("12", "RUNNING"), name="sleep")
    assert states(ledger, other)[0] == ("lost", "killed")
    stranger = replace(line("12", "RUNNING"), user="eve")
    assert states(ledger, stranger)[0] == ("lost", "killed")


def test_a_run_at_work_in_an_interactive_job_is_running(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was started there by `launch --on local`, while our own job had failed."""
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    claim = run_claims.take(ledger.store.run(PARENT.id))
    where = f"process {os.getpid()} on host {socket.gethostname()}, in job 99"
    assert states(ledger, line("12", "FAILED"))[0] == ("running", where)
    assert states(ledger)[0] == ("running", where)
    assert claim is not None
    claim.release()
    assert states(ledger, line("12", "FAILED"))[0] == ("lost", "killed")


def test_a_process_that_outlives_its_job_is_running(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    run_claims.take(ledger.store.run(PARENT.id))
    assert states(ledger, line("12", "NODE_FAIL"))[0][0] == "running"


def test_a_job_that_runs_and_has_claimed_nothing_yet_is_starting(ledger: Ledger) -> None:
    lines = line("12", "RUNNING"), line("13_0", "CONFIGURING")
    assert [state for state, _ in states(ledger, *lines)] == ["starting", "starting", "pending"]


def test_a_job_that_is_being_cancelled_is_not_running(ledger: Ledger) -> None:
    ledger.record_cancelled(ledger.submissions["job12"], [0])
    assert states(ledger, line("12", "COMPLETING"))[0] == ("missing", "being cancelled")
    assert states(ledger, line("12", "CANCELLED"))[0] == ("missing", "cancelled")
    assert states(ledger)[0] == ("missing", "cancelled")


def test_an_array_that_a_person_cancelled_while_it_waited_is_cancelled(ledger: Ledger) -> None:
    """Slurm shows one row without an index for the elements that never began."""
    alone, whole = line("13_0", "TIMEOUT"), line("13", "CANCELLED", "Dependency")
    assert states(ledger, line("12", "RUNNING"), whole)[1] == ("missing", "cancelled")
    assert states(ledger, line("12", "RUNNING"), whole, alone)[1] == ("lost", "time limit")
    assert states(ledger, line("12", "RUNNING"), line("13", "RUNNING"))[1] == ("lost", "killed")


def test_a_job_that_was_submitted_a_moment_ago_is_not_lost(ledger: Ledger) -> None:
    """A controller that restarts, or a squeue that caches, does not show it yet."""
    now = server_time(ledger.store.root)
    for seconds, state in ((2, "pending"), (3600, "lost")):
        known = ledger.submissions["job12"]
        ledger.record_intent(replace(known, stored=now - seconds))
        ledger.record_submitted(ledger.submissions["job12"], "12")
        assert states(ledger)[0][0] == state


def test_a_job_that_left_no_log_could_not_open_its_folder(ledger: Ledger) -> None:
    queue = Queue({"12": line("12", "FAILED")})
    now = run_states.survey(PLAN, ledger.store, ledger, queue)[PARENT.id]
    logs = ledger.store.study("s").logs
    assert now.message.startswith(f"job 12 ended without a log: its node could not open {logs};")


def test_a_requeued_job_is_pending_though_its_run_failed_before(ledger: Ledger) -> None:
    failures.write(ledger.store.run(PARENT.id), "hung", "no sign of life", job="12", node="n1")
    assert states(ledger, line("12", "PENDING", "BeginTime"))[0] == ("pending", "BeginTime")


def test_an_error_of_an_earlier_start_does_not_hide_a_running_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ledger.store.run(PARENT.id)
    failures.write(folder, "killed", "signal 9", job="12", node="n1")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    claim = run_claims.take(folder)
    assert claim is not None
    assert states(ledger, line("12", "RUNNING"))[0] == ("running", "")
    claim.release()
    assert states(ledger, line("12", "RUNNING"))[0][0] == "starting"


def test_a_run_that_failed_is_held_while_its_job_is_there(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supervisor may start it again, so nobody else may."""
    folder = ledger.store.run(PARENT.id)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    claim = run_claims.take(folder)
    failures.write(folder, "killed", "signal 9", node="n1")
    now = run_states.survey(PLAN, ledger.store, ledger, Queue({"12": line("12", "RUNNING")}))
    assert (now[PARENT.id].state, now[PARENT.id].held) == ("failed", True)
    assert claim is not None
    claim.release()
    now = run_states.survey(PLAN, ledger.store, ledger, Queue({"12": line("12", "FAILED")}))
    assert (now[PARENT.id].state, now[PARENT.id].held) == ("failed", False)


def test_clocks_that_differ_do_not_make_an_error_older_than_its_job(ledger: Ledger) -> None:
    folder = ledger.store.run(PARENT.id)
    failures.write(folder, "nan", "the loss is nan", job="12", node="n1")
    atomic_files.write_json(folder.error, {**json.loads(folder.error.read_text()), "time": 0.0})
    assert states(ledger, line("12", "FAILED"))[0] == ("failed", "nan")


def test_hidden_jobs_of_other_users_are_left_to_them(ledger: Ledger, command: Command) -> None:
    """Else a run of another member of the group would be called lost and taken from them."""
    command("scontrol", "echo 'PrivateData             = jobs,usage'")
    assert states(ledger)[0] == ("pending", "job 12 of ada, which Slurm does not show")
    failures.write(ledger.store.run(PARENT.id), "nan", "the loss is nan", job="12", node="n1")
    assert states(ledger)[0] == ("failed", "nan")


def test_an_error_from_before_the_last_submission_is_ignored(ledger: Ledger) -> None:
    folder = ledger.store.run(PARENT.id)
    failures.write(folder, "hung", "no sign of life", job="7", node="n1")
    atomic_files.write_json(folder.error, {**json.loads(folder.error.read_text()), "time": 0.0})
    assert states(ledger, line("12", "NODE_FAIL"))[0] == ("lost", "node failure")
    assert states(ledger, line("12", "CANCELLED"))[0] == ("missing", "cancelled")


def test_no_run_is_called_lost_while_slurm_does_not_answer(ledger: Ledger) -> None:
    now = run_states.survey(PLAN, ledger.store, ledger, None)
    assert {each.state for each in now.values()} == {"pending"}


@pytest.mark.parametrize(
    ("state", "reason", "kind"),
    [
        ("OUT_OF_MEMORY", "None", "out of memory"),
        ("TIMEOUT", "TimeLimit", "time limit"),
        ("NODE_FAIL", "None", "node failure"),
        ("PREEMPTED", "None", "preempted"),
        ("CANCELLED", "None", "cancelled"),
        ("CANCELLED", "DependencyNeverSatisfied", "dependency"),
        ("CANCELLED", "Dependency", "cancelled"),  # by a person, while it waited
        ("FAILED", "NonZeroExitCode", "killed"),
    ],
)
def test_slurms_end_of_a_job_becomes_a_class_of_failure(state: str, reason: str, kind: str) -> None:
    assert how_it_ended(line("12", state, reason)) == kind


def test_a_process_of_a_job_that_was_cancelled_a_moment_ago_is_not_called_running(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    run_claims.take(ledger.store.run(PARENT.id))
    ledger.record_cancelled(ledger.submissions["job12"], [0])
    assert states(ledger, line("12", "CANCELLED"))[0] == ("missing", "being cancelled")


def test_what_a_later_answer_of_slurm_does_not_show_is_gone(ledger: Ledger) -> None:
    """A submission that it shows is from after the one that it lacks."""
    now = server_time(ledger.store.root)
    for name, ago in (("job12", 4), ("job13", 2)):
        ledger.record_intent(replace(ledger.submissions[name], stored=now - ago))
        ledger.record_submitted(ledger.submissions[name], name.removeprefix("job"))
    assert states(ledger)[0] == ("pending", "submitted a moment ago")
    assert states(ledger, line("13_0", "PENDING"))[0] == ("lost", "killed")
