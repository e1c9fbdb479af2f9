"""A job leaves alone what it cannot or need not do: held elsewhere, no parent, done, cancelled."""

import os
import socket

from hpc_xfer.execution.job_ending import HELD_EXIT_CODE, STOPPED_EXIT_CODE
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.submission_ledger import Submission, read_ledger
from hpc_xfer.study.plan import Run
from tests import tiny
from tests.execution.jobs_without_slurm import Jobs, code, endless
from tests.waiting import wait_for


def test_a_fine_tuning_does_not_start_without_its_parent(jobs: Jobs) -> None:
    """Slurm starts it where it has forgotten that the parent failed."""
    parent = tiny.pretraining("scratch")
    child = tiny.finetuning(parent)
    assert code(jobs.start(jobs.batch(child))) == 1
    assert jobs.output() == f"{parent.id}, the parent, has no record; launch the study again\n"


def test_the_record_of_a_parent_that_shows_late_is_waited_for(jobs: Jobs) -> None:
    """NFS may show a node for a minute that a new file is absent."""
    parent = tiny.pretraining("scratch")
    child = tiny.finetuning(parent)
    record = tiny.finished(jobs.store, parent).record
    hidden = record.rename(record.with_suffix(".hidden"))
    supervisor = jobs.start(jobs.batch(child))
    wait_for(lambda: "waiting for the record of" in jobs.output())
    hidden.rename(record)
    assert code(supervisor) == 0
    assert "has no record" not in jobs.output()


def held(jobs: Jobs, run: Run) -> str:
    """Work on a run in this process; how a job names it."""
    assert run_claims.take(jobs.dir(run)) is not None
    return f"held by process {os.getpid()} on host {socket.gethostname()}"


def test_a_job_leaves_a_run_that_another_process_works_on_and_goes_on_with_the_others(
    jobs: Jobs,
) -> None:
    """It has not failed, nor was it tried."""
    first, last = tiny.pretraining("scratch"), tiny.pretraining("scratch", seed=1)
    owner = held(jobs, first)
    assert code(jobs.start(jobs.batch(first, last))) == HELD_EXIT_CODE
    assert jobs.events()[0] == ("held", first.id) and jobs.dir(last).record.exists()
    assert f"{first.id}: {owner}; this job leaves it to that process\n" in jobs.output()
    assert not jobs.dir(first).error.exists() and jobs.requeued() == ""
    assert run_claims.found_held(jobs.dir(first)) == {"812"}
    assert run_claims.jobs(jobs.dir(first)) == set()


def test_a_fine_tuning_whose_parent_is_still_at_work_elsewhere_has_not_failed(jobs: Jobs) -> None:
    parent = tiny.pretraining("scratch")
    child = tiny.finetuning(parent)
    owner = held(jobs, parent)
    assert code(jobs.start(jobs.batch(child))) == HELD_EXIT_CODE
    assert jobs.output() == (
        f"{parent.id}, the parent, is not done: {owner}; launch again when it is done\n"
    )
    assert run_claims.found_held(jobs.dir(child)) == {"812"}
    assert not jobs.dir(child).error.exists()


def test_a_finished_run_is_not_executed_again(jobs: Jobs) -> None:
    run = tiny.pretraining("scratch")
    tiny.finished(jobs.store, run)
    assert code(jobs.start(jobs.batch(run))) == 0
    assert jobs.output() == "every run of this pack has its record\n"


def test_a_job_that_was_cancelled_does_nothing_when_it_is_requeued(jobs: Jobs) -> None:
    run = endless()
    batch = jobs.batch(run)
    book = read_ledger(jobs.store)
    one = Submission("study", f"pre.{batch}", "pretrain", batch, None, "2026-01-02", "here", "ada")
    book.record_intent(one)
    book.record_cancelled(book.record_submitted(one, "812"), [0])
    assert code(jobs.start(batch, restarts=1)) == STOPPED_EXIT_CODE
    assert jobs.output() == "this job was cancelled; launch the study again to go on\n"
