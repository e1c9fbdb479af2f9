"""Launching on a real Slurm: each missing run is submitted once, whatever happens to the launcher.

The nodes are drained, so that everything stays in the queue.
"""

import json
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_xfer.slurm.queue import current_queue
from hpc_xfer.store import failures
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.submission_ledger import read_ledger
from tests.cluster import Cluster
from tests.conftest import Command
from tests.faults import ROOT, SlurmStudy
from tests.waiting import wait_for


@pytest.fixture
def drained(cluster: Cluster) -> Cluster:
    cluster.drain()
    return cluster


def queued(study: SlurmStudy) -> Counter[str]:
    """For each run, how many live jobs hold it; and how many relays there are."""
    live = {job: line for job, line in current_queue().lines.items() if line.live}
    found: Counter[str] = Counter()
    book = read_ledger(study.store)
    for submission in book.submissions.values():
        packs = book.packs(submission)
        for index, job in submission.ids():
            if job in live:
                found.update(packs[index] if packs else ["relay"])
                del live[job]
    assert not live, f"jobs that the ledger does not know: {live}"
    return found


def once_each(study: SlurmStudy) -> Counter[str]:
    return Counter([run.id for run in study.plan.runs] + ["relay"])


def test_launching_ten_times_submits_each_run_once(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, draws=3, target=2)
    first = study.launch()
    assert first["submitted"] == {"jobs": 2, "elements": 4, "runs": 7}
    assert study.store.root.stat().st_mode & 0o007 == 0
    for _ in range(9):
        again = study.launch()
        assert (again["submitted"]["runs"], again["in_queue"]) == (0, 7)
        assert again["relay"] == first["relay"]
    assert queued(study) == once_each(study)


def test_four_launches_at_the_same_moment_submit_each_run_once(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    racing = [
        subprocess.Popen(study.command("launch", "--json"), stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(4)
    ]
    told = [json.loads(process.communicate()[0]) for process in racing]
    assert sorted(each["submitted"]["runs"] for each in told) == [0, 0, 0, 3]
    assert queued(study) == once_each(study)


def test_a_job_whose_id_sbatch_did_not_tell_is_found_by_its_name(
    tmp_path: Path, shards: Path, drained: Cluster, command: Command
) -> None:
    study, real = SlurmStudy(tmp_path, shards), shutil.which("sbatch")
    command("sbatch", f'{real} "$@" >&2 && echo thank you')
    assert study.launch()["submitted"]["runs"] == 3
    assert study.status()["counts"]["pending"] == 3
    command("sbatch", f'exec {real} "$@"')
    assert study.launch()["submitted"]["runs"] == 0
    assert queued(study) == once_each(study)


@pytest.mark.slow
def test_a_launcher_killed_at_any_write_neither_doubles_nor_loses_a_run(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    ended, at = 0, 0
    while ended != 1:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        study = SlurmStudy(folder, shards, method="scratch")
        module, *rest = study.command("launch")[2:]
        call = [sys.executable, "-m", "tests.killed", str(at), module, *rest]
        code = subprocess.run(call, capture_output=True, cwd=ROOT).returncode
        ended = code == 0
        assert ended or code == -9
        study.launch()
        assert queued(study) == once_each(study), f"killed at write {at}"
        study.call("cancel")
        assert drained.live() == []
    assert at > 20


def test_a_second_study_waits_for_the_runs_of_the_first_and_cancel_leaves_them(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, draws=2, target=2)
    study.launch()
    grid = study.grid.read_text().replace("name: faults", "name: other")
    other = tmp_path / "other.yaml"
    other.write_text(grid.replace("draws: 2", "draws: 3"))
    command = study.command("launch", "--json")
    command[3] = str(other)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    told = json.loads(done.stdout)
    assert (told["submitted"]["runs"], told["in_queue"]) == (2, 5)

    kept = json.loads(study.call("cancel", "--json"))
    assert len(kept["kept_for_others"]) == 3 and len(kept["cancelled"]) == 1  # its own relay
    command[2:5] = ["hpc_xfer.cancel", str(other), "--site"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert len(json.loads(done.stdout)["cancelled"]) == 2  # an element and a relay
    study.call("cancel")
    assert drained.live() == []  # nobody waits any more


def test_a_cancelled_study_is_launched_again_from_where_it_was(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    assert json.loads(study.call("cancel", "--json"))["kept_for_others"] == []
    assert drained.live() == []
    assert study.status()["counts"]["missing"] == 3
    assert "the study was cancelled" in relay(study).stdout  # as if its job had been requeued
    assert drained.live() == []
    assert study.launch()["submitted"]["runs"] == 3
    assert queued(study) == once_each(study)


def test_a_rehearsal_is_looked_at_and_cancelled_by_what_its_launch_tells(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    *_, last = study.call("launch", "--rehearse").splitlines()
    words = [*study.command("status")[1:], "--rehearsal"]
    assert shlex.split(last)[:4] == ["next:", "python", *words[:2]]
    assert sorted(shlex.split(last)[4:]) == sorted(words[2:])
    assert json.loads(study.call("status", "--json", "--rehearsal"))["counts"]["pending"] == 3
    told = json.loads(study.call("cancel", "--json", "--rehearsal"))
    assert told["study"] == "faults-rehearsal" and len(told["cancelled"]) == 3
    assert drained.live() == []


def relay(study: SlurmStudy) -> "subprocess.CompletedProcess[str]":
    """Run what the relay job runs, at once."""
    places = ["--store", str(study.store.root), "--site", str(study.site)]
    call = [sys.executable, "-m", "hpc_xfer.relay", "--study", "faults", *places]
    return subprocess.run(call, capture_output=True, text=True, cwd=ROOT)


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


def test_a_relay_that_is_at_work_is_not_the_one_that_follows(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    """It may have looked already, and would miss what is submitted now."""
    go = tmp_path / "go"
    study = SlurmStudy(
        tmp_path, shards, slurm={"setup": [f"while [ ! -e {go} ]; do sleep 0.1; done"]}
    )
    first = study.launch()["relay"]
    cluster.run("scancel", *[job for job in cluster.live() if job != first])
    wait_for(lambda: cluster.state(first) == "RUNNING")
    told = study.launch()
    assert told["submitted"]["runs"] == 3 and told["relay"] != first
    assert {first, told["relay"]} <= set(cluster.live())
    study.call("cancel")


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


def test_status_tells_what_waits_and_why(tmp_path: Path, shards: Path, drained: Cluster) -> None:
    study = SlurmStudy(tmp_path, shards, draws=3, target=2)
    assert study.status()["counts"]["missing"] == 7
    study.launch()
    told = study.status()
    assert told["counts"]["pending"] == 7
    child = study.plan.of("finetune")[0].id
    job = told["runs"][child]["job"]
    shown = ("squeue", "-h", "-r", "-j", job, "-o", "%r")
    wait_for(lambda: study.status()["runs"][child]["why"] == drained.run(*shown) == "Dependency")
    said = study.call("status", "--job", job)
    assert child in said and "clip" not in said and f"{job}  ft1." in said
    said = study.call("status", "--job", job.split("_")[0])  # waiting, each has the array's id
    assert all(run.id in said for run in study.plan.of("finetune"))
    assert f"job: {job}" in study.call("status", "--why", child[:6])


def test_a_store_that_everybody_may_write_is_refused(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.store.root.mkdir()
    study.store.root.chmod(0o777)
    study.launch(code=1)
    assert drained.live() == []


def test_jobs_that_may_not_submit_jobs_leave_the_rest_to_the_next_launch(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(
        tmp_path, shards, draws=3, target=2, slurm={"jobs_may_submit": False, "max_jobs": 3}
    )
    assert study.launch()["waiting_for_room"] > 0
    assert "launch again" in study.call("launch")


def test_arrays_are_cut_where_slurm_ends_and_share_what_may_run_at_once(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster]
) -> None:
    make_cluster(nodes=1, settings={"MaxArraySize": "11"}).drain()
    study = SlurmStudy(tmp_path, shards, draws=12, target=1, method="scratch")
    grid = study.grid.read_text()
    study.grid.write_text(grid.replace("target_minutes: 1", "target_minutes: 1, max_running: 3"))
    assert study.launch()["submitted"] == {"jobs": 4, "elements": 1 + 24, "runs": 25}
    assert queued(study) == once_each(study)
    arrays = [s for s in read_ledger(study.store).submissions.values() if s.elements]
    assert [array.elements for array in arrays] == [11, 11, 2]
    scripts = [(study.store.study("faults").logs / f"{a.job}_submission.sh") for a in arrays]
    assert all("%3\n" in script.read_text() or "%2\n" in script.read_text() for script in scripts)
    assert f"afterany:{arrays[0].job}" in scripts[1].read_text()


def test_a_study_whose_files_changed_can_be_cancelled_and_its_relay_stops(
    tmp_path: Path, shards: Path, drained: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    arch = tmp_path / "tiny.json"
    arch.write_text(arch.read_text().replace('"width": 8', '"width": 16'))
    done = relay(study)
    assert (
        done.returncode == 2 and "the grid now gives other runs than at its launch" in done.stderr
    )
    assert len(json.loads(study.call("cancel", "--json"))["cancelled"]) == 3
    assert drained.live() == []


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
