"""`status`, `collect` and missing.csv call the same thing by the same word."""

from pathlib import Path

import pytest

from hpc_xfer.config.resources import Resources
from hpc_xfer.results import collect_tables
from hpc_xfer.results.tables import csv_files
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states import run_states
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission, read_ledger
from hpc_xfer.study import job_arrays
from hpc_xfer.study.plan import Pack, Plan, Run
from hpc_xfer.study.state_words import IN_MISSING_CSV, MEANINGS, MISSING_WORDS, STATES
from tests import fabricated, tiny
from tests.conftest import Command

DONE, BROKEN = (tiny.pretraining("scratch", seed=seed) for seed in (0, 1))
RUNNING, STARTING, PENDING, LOST, CANCELLED, NEW = (
    tiny.finetuning(DONE, lr=lr) for lr in (1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3)
)
BLOCKED = tiny.finetuning(BROKEN)
PLAN = Plan((DONE, BROKEN, RUNNING, STARTING, PENDING, LOST, CANCELLED, NEW, BLOCKED), Resources())
JOBS = [(RUNNING, "RUNNING"), (STARTING, "RUNNING"), (PENDING, "PENDING"), (LOST, "NODE_FAIL"),
        (CANCELLED, "CANCELLED")]  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A run in every state, each fine-tuning in a job of its own."""
    command("scontrol", "echo 'PrivateData             = none'")
    store = Store(tmp_path)
    fabricated.record(store, DONE)
    store.run(DONE.id).encoder.touch()
    failures.write(store.run(BROKEN.id), "nan", "the loss is nan", job="1", node="n1")
    found = read_ledger(store)
    for number, (run, _) in enumerate(JOBS, start=10):
        submit(found, run, str(number))
    monkeypatch.setenv("SLURM_JOB_ID", "10")
    monkeypatch.setenv("SLURM_JOB_NAME", RUNNING.id)
    run_claims.take(store.run(RUNNING.id))
    return found


def submit(ledger: Ledger, run: Run, job: str) -> None:
    """Record that a run was submitted as a job, which is called like the run."""
    batch = job_arrays.JobArray((Pack((run,), 1.0, 1),))
    ledger.store.write_manifest("s", batch, {})
    when = "2026-01-02T03:04:05+00:00"
    one = Submission("s", run.id, "finetune", batch.id, None, when, "h", "ada")
    ledger.record_intent(one)
    ledger.record_submitted(one, job)


def survey(ledger: Ledger, with_slurm: bool = True) -> dict[str, RunStatus]:
    lines = [
        QueueLine(str(number), str(number), run.id, state, "ada", "n1", reason="None")
        for number, (run, state) in enumerate(JOBS, start=10)
    ]
    queue = Queue({each.job: each for each in lines}) if with_slurm else None
    return run_states.survey(PLAN, ledger.store, ledger, queue)


def missing_csv(store: Store) -> dict[str, str]:
    """The words of missing.csv, by run id."""
    collect_tables.collect(PLAN, store, store.root / "summary")
    rows = csv_files.read(store.root / "summary/missing.csv")
    return {row["run"]: row["state"] for row in rows if row["run"]}


def test_every_state_has_one_word_in_missing_csv(ledger: Ledger) -> None:
    found, table = survey(ledger), missing_csv(ledger.store)
    assert {status.state for status in found.values()} == set(STATES)
    for run in PLAN.runs:
        assert table.get(run.id) == IN_MISSING_CSV[found[run.id].state], found[run.id].state


def test_a_run_behind_a_failure_is_blocked_whoever_looks(ledger: Ledger) -> None:
    """With Slurm, without it, and in missing.csv."""
    assert survey(ledger)[BLOCKED.id].state == "blocked"
    assert survey(ledger, with_slurm=False)[BLOCKED.id].state == "blocked"
    assert missing_csv(ledger.store)[BLOCKED.id] == "blocked"


def test_a_submitted_run_behind_a_failure_is_blocked_where_slurm_does_not_answer(
    ledger: Ledger,
) -> None:
    submit(ledger, BLOCKED, "30")
    assert survey(ledger, with_slurm=False)[BLOCKED.id].state == "blocked"
    assert survey(ledger, with_slurm=False)[PENDING.id].why == "Slurm does not answer"


def test_a_run_whose_parent_has_not_run_yet_waits_and_is_not_blocked(tmp_path: Path) -> None:
    table = missing_csv(Store(tmp_path))
    assert table == dict.fromkeys((run.id for run in PLAN.runs), "not run")


def test_every_word_has_a_meaning() -> None:
    assert set(MEANINGS) == set(IN_MISSING_CSV) == set(STATES)
    assert {word for word in IN_MISSING_CSV.values() if word} <= set(MISSING_WORDS)
