"""One process per rank supervises a worker: it passes signals on, ends it, and ends the job."""

import os
import signal

from hpc_xfer.execution.job_ending import STOPPED_EXIT_CODE
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from tests import tiny
from tests.execution.jobs_without_slurm import Jobs, below, code, endless, kill, training, worker
from tests.waiting import wait_for


def test_signals_to_the_whole_step_do_not_harm_loader_processes(jobs: Jobs) -> None:
    """Slurm signals every process of a step, not only those that it started."""
    run = endless()
    supervisor = training(jobs, run, workers=2)
    assert len(below(supervisor.pid)) >= 3
    os.killpg(supervisor.pid, signal.SIGTERM)
    assert code(supervisor) == STOPPED_EXIT_CODE
    assert jobs.events()[-2:] == [("interrupted", run.id), ("pack", None)]
    assert not jobs.dir(run).error.exists()


def test_a_job_whose_time_is_up_saves_a_checkpoint_and_is_requeued(jobs: Jobs) -> None:
    run = endless()
    supervisor = training(jobs, run)
    supervisor.send_signal(signal.SIGUSR2)
    assert code(supervisor) == REQUEUE_EXIT_CODE
    assert jobs.requeued() == "requeue 812\n"
    assert jobs.dir(run).checkpoint.exists() and not jobs.dir(run).error.exists()


def test_a_time_limit_too_short_for_one_step_is_recorded_and_not_retried(jobs: Jobs) -> None:
    """The worker dies of the signal while it still imports torch."""
    run = endless()
    supervisor = jobs.start(jobs.batch(run))
    wait_for(lambda: below(supervisor.pid))
    supervisor.send_signal(signal.SIGUSR2)
    assert code(supervisor) == 1
    assert jobs.error(run)["class"] == "time limit" and jobs.requeued() == ""


def test_a_job_that_gets_sigterm_saves_a_checkpoint_and_does_not_requeue_itself(jobs: Jobs) -> None:
    run = endless()
    supervisor = training(jobs, run)
    supervisor.send_signal(signal.SIGTERM)
    assert code(supervisor) == STOPPED_EXIT_CODE
    assert jobs.dir(run).checkpoint.exists() and jobs.requeued() == ""


def test_a_killed_worker_is_recorded_and_retried_a_few_times(jobs: Jobs) -> None:
    jobs.slurm = {"retries": 1}
    run = endless()
    supervisor = training(jobs, run)
    kill(worker(supervisor))
    assert code(supervisor) == REQUEUE_EXIT_CODE
    error = jobs.error(run)
    assert (error["class"], error["message"]) == ("killed", "the worker ended with signal 9")
    assert (error["job"], error["node"]) == ("812", "n1")
    assert error["job_name"].startswith("pre.")
    again = jobs.start(jobs.batch(run), restarts=1)
    wait_for(lambda: below(again.pid))
    kill(worker(again))  # before it got any further
    assert code(again) == 1
    assert [past["class"] for past in jobs.error(run)["history"]] == ["killed", "killed"]


def test_a_run_that_kills_its_worker_does_not_block_the_rest_of_the_pack(
    jobs: Jobs,
) -> None:
    deadly, other = endless(), tiny.pretraining("scratch")
    supervisor = jobs.start(jobs.batch(deadly, other))
    wait_for(lambda: jobs.step(deadly) >= 10 or supervisor.poll() is not None)
    kill(worker(supervisor))
    assert code(supervisor) == REQUEUE_EXIT_CODE
    assert jobs.error(deadly)["class"] == "killed" and not jobs.dir(other).error.exists()
    assert jobs.dir(other).record.exists()


def test_a_worker_that_hangs_is_killed_and_retried(jobs: Jobs) -> None:
    jobs.slurm = {"hang_minutes": 1}
    run = endless()
    supervisor = training(jobs, run)
    kill(worker(supervisor), signal.SIGSTOP)
    assert code(supervisor) == REQUEUE_EXIT_CODE
    assert jobs.error(run)["class"] == "hung"


def test_a_run_folder_that_is_moved_away_is_trouble_of_the_store(jobs: Jobs) -> None:
    run = endless()
    supervisor = training(jobs, run)
    jobs.dir(run).path.rename(jobs.root / "elsewhere")
    assert code(supervisor) == REQUEUE_EXIT_CODE, jobs.output()
    error = jobs.error(run)
    assert error["class"] == "store"
    assert f"{jobs.dir(run).claims}: was removed while this process worked" in error["message"]
