"""One process per rank supervises a worker: it passes signals on, ends it, and ends the job.

Supervisor, worker and signals are real; `scontrol` is a script, as there is no Slurm here.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.execution.job_ending import HELD_EXIT_CODE, STOPPED_EXIT_CODE
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.store import failures, heartbeat
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Submission, read_ledger
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from tests import tiny
from tests.conftest import ROOT
from tests.waiting import wait_for

ENDLESS = 10_000  # steps


@dataclass
class Jobs:
    """A store, and jobs on it as Slurm would start them."""

    root: Path
    shards: Path
    slurm: dict[str, Any] = field(default_factory=dict)  # of the site
    device: str = "cpu"  # given to the workers
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.root / "store")
        self.store.open()
        scontrol = self.root / "bin/scontrol"
        scontrol.parent.mkdir()
        scontrol.write_text(f'#!/bin/sh\necho "$@" >> "{self.root}/scontrol.log"\n')
        scontrol.chmod(0o755)

    def batch(self, *runs: Run, **resources: Any) -> str:
        """Write one pack of these runs; return the id of its job array."""
        base = tiny.PRETRAIN if runs[0].kind == "pretrain" else tiny.FINETUNE
        own = tiny.with_changes(base, resources).model_dump(mode="json")
        batch = JobArray((Pack(runs, 1.0, own["gpus"]),))
        self.store.write_manifest("study", batch, own)
        return batch.id

    def start(
        self, batch: str, job: str = "812", restarts: int = 0, rank: int = 0, size: int = 1
    ) -> subprocess.Popen[str]:
        """Start one rank; its log lies where Slurm would write it."""
        site = self.root / "site.yaml"
        site.write_text(json.dumps({"sources": {"sans": str(self.shards)}, "slurm": self.slurm}))
        env = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")} | {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "SLURM_JOB_ID": job,
            "SLURM_JOB_NAME": f"pre.{batch}",
            "SLURM_RESTART_COUNT": str(restarts),
            "SLURM_NTASKS": str(size),
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank),
            "SLURMD_NODENAME": f"n{rank + 1}",
            "HPC_XFER_DEVICE": self.device,
        }
        command = [sys.executable, "-u", "-m", "hpc_xfer.job", "--store", str(self.store.root)]
        command += ["--study", "study", "--site", str(site), "--batch", batch]
        log = self.log(job, rank)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out:
            process = subprocess.Popen(
                command, env=env, cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def log(self, job: str = "812", rank: int = 0) -> Path:
        return self.store.study("study").logs / f"{job}_{rank}_log.out"

    def output(self, job: str = "812", rank: int = 0) -> str:
        return self.log(job, rank).read_text()

    def events(self, job: str = "812") -> list[tuple[str, str | None]]:
        """Events of the workers of rank 0."""
        lines = [line for line in self.output(job).splitlines() if line.startswith('{"event"')]
        return [(each["event"], each.get("run")) for each in map(json.loads, lines)]

    def requeued(self) -> str:
        log = self.root / "scontrol.log"
        return log.read_text() if log.exists() else ""

    def dir(self, run: Run) -> RunDir:
        return self.store.run(run.id)

    def step(self, run: Run) -> int:
        return int((heartbeat.read(self.dir(run)) or {}).get("step", 0))

    def error(self, run: Run) -> dict[str, Any]:
        error = failures.read(self.dir(run))
        assert error is not None, self.output()
        return error

    def end(self) -> None:
        for process in self.started:
            for pid in (*below(process.pid), process.pid):
                kill(pid)
            process.wait()


def below(pid: int) -> list[int]:
    """All descendants of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *below(child))]


def worker(supervisor: subprocess.Popen[str]) -> int:
    return below(supervisor.pid)[0]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def code(supervisor: subprocess.Popen[str], seconds: float = 300) -> int:
    return supervisor.wait(seconds)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("shards") / "sans")


@pytest.fixture
def jobs(tmp_path: Path, shards: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path, shards)
    yield made
    made.end()


def endless() -> Run:
    return tiny.pretraining("supervised", samples_seen=32 * ENDLESS)


def training(jobs: Jobs, run: Run, step: int = 10, **resources: Any) -> subprocess.Popen[str]:
    """Start a job and wait until it is in the middle of this run."""
    supervisor = jobs.start(jobs.batch(run, **resources))
    wait_for(lambda: jobs.step(run) >= step or supervisor.poll() is not None)
    assert supervisor.poll() is None, jobs.output()
    return supervisor


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


def test_a_run_folder_that_is_moved_away_is_trouble_of_the_store(jobs: Jobs) -> None:
    run = endless()
    supervisor = training(jobs, run)
    jobs.dir(run).path.rename(jobs.root / "elsewhere")
    assert code(supervisor) == REQUEUE_EXIT_CODE, jobs.output()
    error = jobs.error(run)
    assert error["class"] == "store"
    assert f"{jobs.dir(run).claims}: was removed while this process worked" in error["message"]


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
