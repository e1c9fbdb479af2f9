"""How runs stand, from what lies in the store, in the ledger and in the queue."""

import json
from pathlib import Path

import pytest

from hpc_xfer.config.resources import Resources
from hpc_xfer.scheduling import run_states
from hpc_xfer.scheduling.run_states import how_it_ended
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.store import failures, run_claims
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
def book(tmp_path: Path, command: Command) -> Ledger:
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


def seen(book: Ledger, *lines: QueueLine) -> list[tuple[str, str]]:
    now = run_states.survey(PLAN, book.store, book, Queue({line.job: line for line in lines}))
    return [(now[run.id].state, now[run.id].why) for run in PLAN.runs]


def line(job: str, state: str, reason: str = "None") -> QueueLine:
    return QueueLine(job, job, f"job{job}", state, nodes="n1", reason=reason)


def test_what_waits_shows_slurms_reason(book: Ledger) -> None:
    lines = line("12", "PENDING", "Priority"), line("13_0", "PENDING", "Dependency")
    assert seen(book, *lines) == [
        ("pending", "Priority"), ("pending", "Dependency"), ("pending", "Dependency"),
    ]  # fmt: skip


def test_of_a_running_pack_one_run_is_at_work(
    book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "13")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    run_claims.take(book.store.run(FIRST.id))
    lines = line("12", "RUNNING"), line("13_0", "RUNNING")
    assert seen(book, *lines)[1:] == [("running", ""), ("pending", "behind 1 of its pack")]


def test_a_job_that_went_without_a_word_leaves_lost_runs(book: Ledger) -> None:
    lines = line("12", "NODE_FAIL"), line("13_0", "TIMEOUT")
    assert [state for state, _ in seen(book, *lines)] == ["lost"] * 3
    assert [why for _, why in seen(book)] == ["killed"] * 3


def test_children_of_a_failed_parent_are_blocked(book: Ledger) -> None:
    failures.write(book.store.run(PARENT.id), "nan", "the loss is nan", job="12", node="n1")
    lines = line("12", "FAILED"), line("13_0", "CANCELLED", "DependencyNeverSatisfied")
    blocked = ("blocked", f"parent {PARENT.id} failed")
    assert seen(book, *lines) == [("failed", "nan"), blocked, blocked]


def test_a_requeued_job_is_pending_though_its_run_failed_before(book: Ledger) -> None:
    failures.write(book.store.run(PARENT.id), "hung", "no sign of life", job="12", node="n1")
    assert seen(book, line("12", "PENDING", "BeginTime"))[0] == ("pending", "BeginTime")


def test_an_error_of_an_earlier_start_says_nothing_of_the_one_at_work(
    book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = book.store.run(PARENT.id)
    failures.write(folder, "killed", "signal 9", job="12", node="n1")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    claim = run_claims.take(folder)
    assert claim is not None
    assert seen(book, line("12", "RUNNING"))[0] == ("running", "")
    claim.release()
    assert seen(book, line("12", "RUNNING"))[0][0] == "pending"


def test_a_run_that_failed_is_held_while_its_job_is_there(
    book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard may begin it again, so nobody else may."""
    folder = book.store.run(PARENT.id)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    run_claims.take(folder)
    failures.write(folder, "killed", "signal 9", node="n1")
    now = run_states.survey(PLAN, book.store, book, Queue({"12": line("12", "RUNNING")}))
    assert (now[PARENT.id].state, now[PARENT.id].held) == ("failed", True)
    now = run_states.survey(PLAN, book.store, book, Queue({"12": line("12", "FAILED")}))
    assert (now[PARENT.id].state, now[PARENT.id].held) == ("failed", False)


def test_clocks_that_differ_do_not_make_an_error_older_than_its_job(book: Ledger) -> None:
    folder = book.store.run(PARENT.id)
    failures.write(folder, "nan", "the loss is nan", job="12", node="n1")
    atomic_files.write_json(folder.error, {**json.loads(folder.error.read_text()), "time": 0.0})
    assert seen(book, line("12", "FAILED"))[0] == ("failed", "nan")


def test_jobs_of_others_that_slurm_does_not_show_are_left_to_them(
    book: Ledger, command: Command
) -> None:
    """Else what another member of the group runs would be called lost, and taken from them."""
    command("scontrol", "echo 'PrivateData             = jobs,usage'")
    assert seen(book)[0] == ("pending", "job 12 of ada, which Slurm does not show")
    failures.write(book.store.run(PARENT.id), "nan", "the loss is nan", job="12", node="n1")
    assert seen(book)[0] == ("failed", "nan")


def test_an_error_from_before_the_last_submission_says_nothing_of_it(book: Ledger) -> None:
    folder = book.store.run(PARENT.id)
    failures.write(folder, "hung", "no sign of life", job="7", node="n1")
    atomic_files.write_json(folder.error, {**json.loads(folder.error.read_text()), "time": 0.0})
    assert seen(book, line("12", "NODE_FAIL"))[0] == ("lost", "node failure")
    assert seen(book, line("12", "CANCELLED"))[0] == ("missing", "cancelled")


def test_nothing_is_called_lost_while_slurm_is_silent(book: Ledger) -> None:
    now = run_states.survey(PLAN, book.store, book, None)
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
def test_the_end_of_a_job_in_our_words(state: str, reason: str, kind: str) -> None:
    assert how_it_ended(line("12", state, reason)) == kind
