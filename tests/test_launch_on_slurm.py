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
from hpc_xfer.store.submission_ledger import read_ledger
from tests.cluster import Cluster
from tests.conftest import Command
from tests.faults import ROOT, SlurmStudy, relay
from tests.waiting import wait_for


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
