"""Workers that share a GPU: the same numbers, and no harm to the one beside."""

import shutil
import signal
from typing import Any

from hpc_xfer.execution.job_ending import STOPPED_EXIT_CODE
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.study.plan import Run
from tests import tiny
from tests.execution.jobs_without_slurm import ENDLESS, Jobs, code, kill
from tests.waiting import wait_for


def sharing(jobs: Jobs, **settings: Any) -> tuple[Run, ...]:
    """Eight fine-tunings of a finished parent."""
    parent = tiny.pretraining("scratch")
    tiny.finished(jobs.store, parent)
    modes = ("lp", "lp", "lp", "lp", "ft", "ft", "ft", "ft")
    return tuple(
        tiny.finetuning(parent, mode, draw=draw, **settings) for draw, mode in enumerate(modes)
    )


def results(jobs: Jobs, runs: tuple[Run, ...]) -> list[tuple[dict[str, Any], bytes]]:
    folders = [jobs.dir(run) for run in runs]
    return [(tiny.result(folder), folder.hits.read_bytes()) for folder in folders]


def test_workers_that_share_a_gpu_change_no_number(jobs: Jobs) -> None:
    runs = sharing(jobs)
    assert code(jobs.start(jobs.batch(*runs))) == 0
    one_by_one = results(jobs, runs)
    for run in runs:
        shutil.rmtree(jobs.dir(run).path)
    assert code(jobs.start(jobs.batch(*runs, per_gpu=3))) == 0, jobs.output()
    assert results(jobs, runs) == one_by_one
    records = [jobs.store.record(run.id) for run in runs]
    assert len({record["provenance"]["pid"] for record in records if record}) == 3


def test_a_killed_worker_does_not_harm_the_one_beside_it(jobs: Jobs) -> None:
    runs = sharing(jobs)[4:]
    endless_one = tiny.finetuning(runs[0].parents[0], "ft", draw=9, epochs=ENDLESS)
    supervisor = jobs.start(jobs.batch(endless_one, *runs, per_gpu=2))
    wait_for(lambda: jobs.step(endless_one) >= 5 or supervisor.poll() is not None)
    owner = run_claims.holder(jobs.dir(endless_one))
    assert owner is not None, jobs.output()
    kill(owner["pid"])
    assert code(supervisor) == REQUEUE_EXIT_CODE
    assert jobs.error(endless_one)["class"] == "killed"
    assert all(jobs.dir(run).record.exists() and not jobs.dir(run).error.exists() for run in runs)


def test_a_signal_reaches_all_workers_that_share_a_gpu(jobs: Jobs) -> None:
    parent = sharing(jobs)[0].parents[0]
    runs = [tiny.finetuning(parent, "ft", draw=draw, epochs=ENDLESS) for draw in range(2)]
    supervisor = jobs.start(jobs.batch(*runs, per_gpu=2))
    wait_for(lambda: all(jobs.step(run) >= 5 for run in runs) or supervisor.poll() is not None)
    supervisor.send_signal(signal.SIGTERM)
    assert code(supervisor) == STOPPED_EXIT_CODE, jobs.output()
    assert all(jobs.dir(run).checkpoint.exists() for run in runs)
    assert not any(jobs.dir(run).error.exists() for run in runs)
