"""A worker that its GPU has spent: a fresh one does the rest, but not for ever."""

import signal
import sys
from pathlib import Path

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.execution.supervisor import Supervisor
from hpc_xfer.execution.worker_watch import Signals
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.store import failures
from hpc_xfer.store.retry_policy import is_retried
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.conftest import Command

RUNS = [tiny.pretraining("scratch", seed=seed) for seed in range(4)]
# Begins its runs in turn; each that is not left out fails, and some failures spend the process.
WORKER = """
import json, os, sys
log, failing, *runs = sys.argv[1:6]
def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)
open(log, "a").write(f"{os.environ.get('HPC_XFER_DEVICE')}\\n")
for run, failure in zip(runs, failing.split(",")):
    if f"--skip={run}" in sys.argv:
        continue
    tell("started", run=run)
    tell("failed", run=run, **{"class": failure, "message": "it failed"})
    if failure != "nan":
        sys.exit(88)
tell("pack", pack="x/0")
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Store:
    command("scontrol", "true")
    for name in ("JOB_NAME", "ARRAY_JOB_ID", "ARRAY_TASK_ID"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    monkeypatch.delenv("HPC_XFER_DEVICE", raising=False)
    return Store(tmp_path / "store")


def run_job(store: Store, failing: str, site: Site | None = None) -> tuple[int, list[str]]:
    """Return the exit code of a job, and the device that each of its workers was given."""
    batch = JobArray((Pack(tuple(RUNS[:3]), 1.0, 1),))
    store.write_manifest("study", batch, {})
    job = Supervisor(store, site or Site(), "study", batch.id, ProcessRank(), Signals())
    log = store.root / "starts"
    log.unlink(missing_ok=True)
    runs = [run.id for run in RUNS[:3]]
    code = job.run([sys.executable, "-c", WORKER, str(log), failing, *runs])
    return code, log.read_text().split()


def test_a_fresh_worker_does_the_rest_and_the_job_is_requeued(store: Store) -> None:
    """The failure is the worker's own report: its end is not another one."""
    assert run_job(store, "gpu,nan,nan") == (REQUEUE_EXIT_CODE, ["cuda"] * 2)
    assert all(failures.read(store.run(run.id)) is None for run in RUNS)


def test_a_broken_gpu_does_not_burn_through_a_pack(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    """A requeued job could get the same node: the relay submits another one, which avoids it."""
    assert run_job(store, "gpu,gpu,gpu") == (1, ["cuda"] * 2)
    output = capfd.readouterr().out
    assert RUNS[2].id not in output
    assert "the GPU is broken: this job ends, and does not begin its other runs" in output
    assert is_retried("gpu", by="relay")


def test_a_gpu_that_is_not_there_ends_the_job_at_once(store: Store) -> None:
    assert run_job(store, "no gpu,nan,nan") == (1, ["cuda"])


def test_an_assertion_on_the_gpu_spends_a_worker_each_time(store: Store) -> None:
    """It is an error of the run: other runs are begun, and the GPU is not blamed."""
    assert run_job(store, "code,code,code") == (1, ["cuda"] * 3)


def test_a_site_without_gpus_gives_none(store: Store) -> None:
    site = Site(slurm=Slurm(gpu_option="none"))
    assert run_job(store, "nan,nan,nan", site) == (1, ["None"])


def test_the_device_that_a_user_sets_wins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_XFER_DEVICE", "cpu")
    assert run_job(store, "nan,nan,nan") == (1, ["cpu"])


@pytest.mark.slow
def test_a_gpu_that_fails_on_another_rank_is_blamed_on_its_node(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 0 only knows that it lost a rank."""
    monkeypatch.setenv("SLURMD_NODENAME", "n2")
    batch = JobArray((Pack((RUNS[0],), 1.0, 2),))
    store.write_manifest("study", batch, {})
    job = Supervisor(store, Site(), "study", batch.id, ProcessRank(rank=1, size=2), Signals())
    log = store.root / "starts"
    command = [sys.executable, "-c", WORKER, str(log), "gpu", RUNS[0].id]
    assert job.run(command) == REQUEUE_EXIT_CODE
    error = failures.read(store.run(RUNS[0].id))
    assert error is not None and (error["class"], error["node"]) == ("gpu", "n2")
    assert len(error["history"]) == 1


DIES = """
import json, os, sys
print(json.dumps({"event": "started", "run": sys.argv[2]}), flush=True)
os.kill(os.getpid(), int(sys.argv[1]))
"""


def run_group(store: Store, rank: int, number: signal.Signals) -> int:
    """Return the exit code of a rank of two whose worker dies of a signal."""
    batch = JobArray((Pack((RUNS[0],), 1.0, 2),))
    store.write_manifest("study", batch, {})
    job = Supervisor(store, Site(), "study", batch.id, ProcessRank(rank, 2), Signals())
    return job.run([sys.executable, "-c", DIES, str(int(number)), RUNS[0].id])


@pytest.mark.slow
def test_a_rank_that_is_killed_is_told_with_its_own_node(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "n2")
    assert run_group(store, 1, signal.SIGKILL) == REQUEUE_EXIT_CODE
    error = failures.read(store.run(RUNS[0].id))
    assert error is not None and (error["class"], error["node"]) == ("killed", "n2")
    assert len(error["history"]) == 1


def test_rank_zero_that_nccl_ends_blames_no_node_and_leaves_the_word_of_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    run = store.run(RUNS[0].id)
    assert run_group(store, 0, signal.SIGABRT) == REQUEUE_EXIT_CODE
    error = failures.read(run)
    assert error is not None and (error["class"], error["node"]) == ("killed", "")
    failures.write(run, "gpu", "an ECC error", node="n2")
    assert run_group(store, 0, signal.SIGABRT) == REQUEUE_EXIT_CODE
    error = failures.read(run)
    assert error is not None and (error["class"], error["node"]) == ("gpu", "n2")


def test_a_worker_that_twice_says_nothing_fails_its_pack(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first time the job is requeued: another node may do."""
    batch = JobArray((Pack(tuple(RUNS[:3]), 1.0, 1),))
    store.write_manifest("study", batch, {})
    codes = []
    for restarts in ("0", "1"):
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        job = Supervisor(store, Site(), "study", batch.id, ProcessRank(), Signals())
        codes.append(job.run([sys.executable, "-c", "raise SystemExit(3)"]))
    assert codes == [REQUEUE_EXIT_CODE, 1]
    errors = [failures.read(store.run(run.id)) for run in RUNS[:3]]
    assert [error and error["class"] for error in errors] == ["silent"] * 3
    assert errors[0] is not None and "exit code 3" in errors[0]["message"]
    assert failures.history(errors[0]) == ["killed", "silent"]
