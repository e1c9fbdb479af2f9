"""Launching again on a real Slurm after jobs failed: what is tried again, and what is given up.

The nodes are drained, so that everything stays in the queue.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_xfer.store import failures
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.submission_ledger import read_ledger
from tests.cluster import Cluster
from tests.faults import ROOT, SlurmStudy, relay
from tests.waiting import wait_for


def test_the_relay_gives_a_run_up_after_some_jobs_and_a_person_may_try_again(
    tmp_path: Path, shards: Path, drained: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm={"retries": 2})
    prepare_store(study.study, study.plan, study.store)

    def fails(job: str) -> None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
        claim = run_claims.take(study.parent_dir)
        assert claim is not None
        failures.write(study.parent_dir, "killed", "the worker ended with signal 9", node="n1")
        claim.release()

    for job in ("7", "8"):
        fails(job)
    assert "submitted 3 runs" in relay(study).stdout
    study.call("cancel")
    study.store.study("faults").cancelled.unlink()
    fails("9")
    told = relay(study).stdout
    assert f"given up: {study.parent.id}: killed: the worker ended with signal 9 (3 jobs" in told
    assert "1 given up, 2 behind them" in told and drained.live() == []
    assert study.launch()["submitted"]["runs"] == 3


def test_the_relay_does_not_repeat_what_must_end_in_the_same_way(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    memory = {"memory_per_gpu": 1.0, "max_memory_per_gpu": 2.0}
    study = SlurmStudy(tmp_path, shards, slurm=memory)
    prepare_store(study.study, study.plan, study.store)
    failures.write(study.parent_dir, "CUDA out of memory", "as before", job="7", node="n1")
    assert f"given up: {study.parent.id}: CUDA out of memory" in relay(study).stdout
    failures.write(study.parent_dir, "out of memory", "the node's memory", job="8", node="n1")
    assert "submitted 3 runs" in relay(study).stdout
    study.call("cancel")
    study.store.study("faults").cancelled.unlink()
    failures.write(study.parent_dir, "out of memory", "2 GB were too few", job="9", node="n1")
    assert f"given up: {study.parent.id}: out of memory" in relay(study).stdout
    assert study.launch()["submitted"]["runs"] == 3  # a person may know better


def test_submissions_that_were_withdrawn_are_no_tries(
    tmp_path: Path, shards: Path, drained: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm={"retries": 2})
    for _ in range(4):
        study.launch()
        book = read_ledger(study.store)
        for submission in book.submissions.values():
            if submission.closed is None:
                book.record_closed(submission, "withdrawn")
        drained.run("scancel", *drained.live())
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    claim = run_claims.take(study.parent_dir)
    assert claim is not None
    failures.write(study.parent_dir, "killed", "signal 9", node="n1")
    claim.release()
    assert "submitted 3 runs" in relay(study).stdout


def test_a_run_that_was_cancelled_is_free_for_the_next_launch(
    tmp_path: Path, shards: Path, drained: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its job was killed before it could give the run back."""
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    take = "import sys; from hpc_xfer.store.ownership import run_claims; "
    take += "from hpc_xfer.store.paths import RunDir; from pathlib import Path; "
    take += "run_claims.take(RunDir(Path(sys.argv[1])))"
    monkeypatch.setenv("SLURM_JOB_ID", study.job())
    subprocess.run([sys.executable, "-c", take, str(study.parent_dir.path)], check=True, cwd=ROOT)
    monkeypatch.delenv("SLURM_JOB_ID")
    assert "released" not in (run_claims.holder(study.parent_dir) or {})
    study.call("cancel")
    study.launch()
    assert (run_claims.holder(study.parent_dir) or {})["released"]


def test_a_run_that_a_job_by_hand_works_on_is_not_taken_from_it(
    tmp_path: Path, shards: Path, drained: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SlurmStudy(tmp_path, shards)
    prepare_store(study.study, study.plan, study.store)
    failures.write(study.parent_dir, "killed", "signal 9", job="7", node="n1")
    monkeypatch.setenv("SLURM_JOB_ID", drained.submit("sleep 100"))
    run_claims.take(study.parent_dir)
    monkeypatch.delenv("SLURM_JOB_ID")
    study.launch()
    assert "released" not in (run_claims.holder(study.parent_dir) or {})


def test_what_slurm_refuses_is_left_out_and_the_rest_goes_on(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    """A run that wants more memory than any node has keeps no other from being submitted."""
    memory = {"memory_per_gpu": 10.0, "max_memory_per_gpu": 40.0}
    study = SlurmStudy(tmp_path, shards, slurm=memory)
    study.grid.write_text(study.grid.read_text().replace(", arch:", ", seed: [0, 1], arch:"))
    first, second = study.plan.of("pretrain")
    failures.write(study.store.run(first.id), "out of memory", "too few", job="7", node="n1")
    told = study.launch(code=1)
    assert list(told["refused"]) == [first.id] and told["blocked"] == 2
    assert told["submitted"]["runs"] == 3 and told["relay"] in drained.live()
    assert "refused a job" in told["refused"][first.id] and told["given_up"] == {}
    assert study.places(second.id)[-1].job in drained.live()


def test_a_job_that_no_node_could_begin_is_let_go(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster]
) -> None:
    """Slurm holds it for ever, and the relay waits for it."""
    broken = tmp_path / "prolog"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    cluster = make_cluster(nodes=1, settings={"Prolog": str(broken)})
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    job = study.job()
    shown = ("squeue", "-h", "-j", job, "-o", "%r")
    wait_for(lambda: cluster.run(*shown).replace("_", " ") == "launch failed requeued held")
    assert "(Slurm: launch failed requeued held)" in study.call("status")
    assert study.launch()["submitted"]["runs"] == 0
    assert "held" not in cluster.run(*shown)
    broken.write_text("#!/bin/sh\n")
    study.call("cancel")


def script_of(study: SlurmStudy, run: str) -> str:
    job = study.places(run)[-1].submission.job
    return (study.store.study("faults").logs / f"{job}_submission.sh").read_text()


def test_a_run_that_lacked_memory_gets_more_and_bad_nodes_are_left_out(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    memory = {"memory_per_gpu": 1.0, "max_memory_per_gpu": 3.0}
    study = SlurmStudy(tmp_path, shards, slurm=memory)
    parent, (first, second) = study.parent_dir, study.plan.of("finetune")
    failures.write(parent, "out of memory", "the node's memory ran out", job="7", node="n1")
    for run, job in ((first, "8"), (second, "9")):
        failures.write(study.store.run(run.id), "hung", "no sign of life", job=job, node="n2")
    assert study.launch()["excluded_nodes"] == ["n2"]
    script = script_of(study, study.parent.id)
    assert "#SBATCH --mem=2048M\n" in script and "#SBATCH --exclude=n2\n" in script
    assert "#SBATCH --mem=1024M\n" in script_of(study, first.id)
    study.call("cancel")
    failures.write(parent, "out of memory", "the node's memory ran out", job="8", node="n1")
    study.launch()
    assert "#SBATCH --mem=3072M\n" in script_of(study, study.parent.id)


def test_what_failed_for_a_reason_of_its_own_is_left_out_until_asked_for(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    failures.write(study.parent_dir, "nan", "the loss is nan", job="7", node="n1")
    assert study.launch(code=1)["failed"] == {study.parent.id: "nan: the loss is nan"}
    assert study.launch("--retry-failed")["submitted"]["runs"] == 3
