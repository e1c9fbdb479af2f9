"""Harm done to a study on a real Slurm: it ends by itself, with the numbers of an undisturbed one.

Nothing here launches a second time, except where launching is what is tested.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config.site import load_site
from hpc_xfer.scheduling.job_requests import request_of
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study import job_arrays
from tests import faults
from tests.cluster import Cluster
from tests.faults import SlurmStudy, kill
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def test_a_study_finishes_by_itself_after_one_launch(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    study = SlurmStudy(tmp_path, shards)
    told = study.launch()
    assert told["submitted"] == {"jobs": 2, "elements": 1 + 1, "runs": 3}
    study.ends(cluster)
    assert study.results() == expected
    folder = study.store.study("faults")
    made = folder.summary / "averages.csv", folder.report
    when = [path.stat().st_mtime_ns for path in made]
    assert study.launch()["done"] == 3
    assert [path.stat().st_mtime_ns for path in made] == when  # nothing is collected again
    for path in made:
        path.unlink()
    assert study.launch()["done"] == 3 and all(path.exists() for path in made)


def test_fine_tunings_that_share_a_gpu_come_to_the_same_numbers(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    study = SlurmStudy(tmp_path, shards, per_gpu=2)
    assert study.launch()["submitted"]["elements"] == 1 + 1
    study.ends(cluster)
    assert study.results() == expected
    records = [study.store.record(run.id) for run in study.plan.of("finetune")]
    assert len({record["provenance"]["pid"] for record in records if record}) == 2


def test_a_job_whose_time_is_up_goes_on_in_the_same_job(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    """The worker is held until Slurm sends its signal, which it does up to a minute early."""
    study = SlurmStudy(tmp_path, shards, slurm={"max_minutes": 10, "signal_seconds": 60})
    study.launch()
    study.reaches(50)
    held = study.workers()
    kill(held, signal.SIGSTOP)
    minutes = cluster.run("squeue", "-h", "-j", study.job(), "-o", "%M").split(":")[0]
    limit = ("scontrol", "update", f"JobId={study.job()}")
    cluster.run(*limit, f"TimeLimit={int(minutes) + 2}")
    wait_for(lambda: "told to stop (SIGUSR2, time is up)" in study.logs())
    cluster.run(*limit, "TimeLimit=10")  # else it is told again while it still imports
    kill(held, signal.SIGCONT)
    study.ends(cluster)
    assert study.results() == expected
    assert len(study.places(study.parent.id)) == 1
    assert len(list(study.parent_dir.claims.iterdir())) > 1


def test_a_preempted_job_goes_on(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(50)
    cluster.run("sbatch", "-p", "urgent", "-N4", "--exclusive", "--wrap", "true", "-o", "/dev/null")
    study.ends(cluster)
    assert study.results() == expected


def test_a_requeued_job_goes_on(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(50)
    cluster.run("scontrol", "requeue", study.job())
    study.ends(cluster)
    assert study.results() == expected


def test_a_killed_worker_goes_on_in_the_same_job(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(100)
    kill(study.workers())
    study.ends(cluster)
    assert study.results() == expected
    assert len(study.places(study.parent.id)) == 1


def test_a_worker_that_writes_nothing_and_hangs_is_found_and_goes_on(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    study = SlurmStudy(tmp_path, shards, slurm={"hang_minutes": 1})
    study.launch()
    wait_for(study.workers)
    kill(study.workers(), signal.SIGSTOP)
    assert not study.parent_dir.progress.exists()
    wait_for(lambda: "hung" in study.parent_dir.error.read_text() if study.parent_dir.error.exists()
             else False)  # fmt: skip
    study.ends(cluster)
    assert study.results() == expected


def test_a_dead_node_is_left_and_its_late_copy_writes_nothing(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster], expected: dict[str, Any]
) -> None:
    cluster = make_cluster(nodes=2, settings={"SlurmdTimeout": "10"})
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(100)
    node = cluster.run("squeue", "-h", "-j", study.job(), "-o", "%N")
    old = study.workers()
    kill(old, signal.SIGSTOP)  # it lives on while slurmd is dead, and wakes up late
    cluster.kill_node(node)
    wait_for(lambda: set(study.workers()) - set(old), 240)
    wait_for(lambda: len(list(study.parent_dir.claims.iterdir())) == 2)
    kill(old, signal.SIGCONT)
    wait_for(lambda: not set(study.workers()) & set(old))
    study.ends(cluster)
    assert study.results() == expected


def test_a_controller_that_restarts_is_waited_for(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    launched = time.time()
    study.reaches(50)
    held = study.workers()
    kill(held, signal.SIGSTOP)  # an end that only the old controller heard of is found after 300 s
    wait_for(lambda: cluster.has_written_down(launched))
    cluster.restart_controller()
    kill(held, signal.SIGCONT)
    study.ends(cluster)
    assert study.results() == expected


def test_ranks_on_two_nodes_go_on_after_one_was_killed(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    alone = faults.undisturbed(tmp_path / "alone", shards, gpus=2, steps=120)
    study = SlurmStudy(tmp_path, shards, gpus=2, steps=120)
    study.launch()
    study.reaches(50)
    assert cluster.run("squeue", "-h", "-j", study.job(), "-o", "%D") == "2"
    kill(study.workers(rank=1))
    study.ends(cluster)
    assert faults.tiny.record(study.parent_dir)["provenance"]["ranks"] == 2
    assert study.results() == alone.results()


def test_a_full_disk_is_waited_out(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any],
    small_disk: Callable[[Path, int], None],
) -> None:  # fmt: skip
    study = SlurmStudy(tmp_path, shards)
    study.store.root.mkdir()
    small_disk(study.store.root, 24)  # MB: 9 for the code of its jobs, 12 for three checkpoints
    study.launch()
    study.reaches(50)
    filler = study.store.root / "filler"

    def is_full_and_requeued() -> bool:
        with pytest.raises(OSError), open(filler, "ab", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        return cluster.state(study.job()) == "PENDING"

    wait_for(is_full_and_requeued)
    filler.unlink()
    study.ends(cluster)
    assert study.results() == expected


def test_a_preempted_job_that_is_told_in_time_goes_on(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster], expected: dict[str, Any]
) -> None:
    cluster = make_cluster(settings={"SlurmctldParameters": "preempt_send_user_signal"})
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(50)
    cluster.run("sbatch", "-p", "urgent", "-N4", "--exclusive", "--wrap", "true", "-o", "/dev/null")
    study.ends(cluster)
    assert study.results() == expected


def test_with_accounting_and_without_it_the_end_is_the_same(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster], expected: dict[str, Any]
) -> None:
    """All processes of a job die at once; then slurmdbd, and only after it the relay looks."""
    cluster = make_cluster(nodes=2, accounting=True, settings={"MinJobAge": "2"})
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(50)
    cluster.run("scancel", "--signal=KILL", f"{study.job()}.0")
    cluster.stop_accounting()
    study.ends(cluster)
    assert study.results() == expected


def test_what_a_parent_that_failed_leaves_is_told_and_not_tried_again(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster]
) -> None:
    """Also where Slurm has forgotten the parent, and so lets its children run."""
    cluster = make_cluster(nodes=1, settings={"MinJobAge": "2"})
    own = tmp_path / "shards"
    shutil.copytree(shards, own)
    study = SlurmStudy(tmp_path, own)
    study.launch("--dry-run")
    for shard in (own / "sans").glob("*.tar"):  # the sizes stay, so only reading finds out
        shard.write_bytes(b"\xff" * shard.stat().st_size)
    study.launch()
    wait_for(lambda: not cluster.live())
    told = study.status()
    assert (told["counts"]["failed"], told["counts"]["blocked"]) == (1, 2)
    assert told["runs"][study.parent.id]["why"] == "data"
    assert len(study.places(study.parent.id)) == 1
    why = study.call("status", "--why", study.parent.id[:8]).splitlines()
    assert why[1] == "state: failed data" and "node: n1" in why
    log = log_path(study.store.study("faults").logs, study.job())
    assert f"log: {log}" in why and "last lines:" in why
    assert "DataError" in "".join(why[why.index("last lines:") :])

    parent = study.job()
    wait_for(lambda: cluster.state(parent) == "")
    site = load_site(study.site)
    launched = LaunchedStudy(study.study, study.plan, study.store, site, study.site)
    batch = job_arrays.cut_into_arrays(study.plan)[1]
    submit_job(replace(request_of(launched, batch, 9), after_ok=(parent,)), site.slurm)
    wait_for(lambda: "the parent, has no record" in study.logs())
    assert not study.store.run(study.plan.of("finetune")[0].id).record.exists()


def test_a_limit_on_submitted_jobs_is_kept_and_everything_runs(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(
        nodes=1, cpus=4, accounting=True,  # processes at once: each takes half a gigabyte
        settings={"AccountingStorageEnforce": "limits,qos", "MaxArraySize": "11"},
    )  # fmt: skip
    cluster.limit_submits(20)
    many: dict[str, Any] = {"method": "scratch", "draws": 10, "target": 1}
    alone = faults.undisturbed(tmp_path / "alone", shards, **many)
    study = SlurmStudy(tmp_path, shards, **many)
    told = study.launch()
    assert told["submitted"]["elements"] == 19 and told["waiting_for_room"] == 2
    study.ends(cluster)
    assert all(len(study.places(run.id)) == 1 for run in study.plan.runs)
    assert study.results() == alone.results()


def test_launchers_that_race_and_are_killed_come_to_one_study(
    tmp_path: Path, shards: Path, cluster: Cluster, expected: dict[str, Any]
) -> None:
    """The first dies right after its first sbatch, before it has written down the id."""
    study = SlurmStudy(tmp_path, shards)
    module, *rest = study.command("launch")[2:]
    doomed = [sys.executable, "-m", "tests.killed", "sbatch", module, *rest]
    assert subprocess.run(doomed, cwd=faults.ROOT, capture_output=True).returncode == -9
    racing = [
        subprocess.Popen(study.command("launch"), cwd=faults.ROOT, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait() for process in racing] == [0, 0]
    study.ends(cluster)
    assert study.results() == expected
    assert all(len(study.places(run.id)) == 1 for run in study.plan.runs)


def test_status_tells_how_far_and_how_long_and_what_was_cancelled_stays_so(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    study.reaches(50)
    held = study.workers()
    kill(held, signal.SIGSTOP)
    told = study.status()
    assert told["seconds_left"] >= 2 * 60  # the minutes of the fine-tunings in the grid
    assert told["runs"][study.parent.id]["progress"]["total"] == study.steps
    said = study.call("status")
    assert f"/{study.steps} " in said and "to go with one process, as now" in said
    assert study.call("status", "--why", study.parent.id).splitlines()[1] == "state: running"

    job = study.job()
    study.call("cancel")
    wait_for(lambda: cluster.state(job) == "CANCELLED")
    cluster.run("scontrol", "requeue", job)
    wait_for(lambda: "this job was cancelled" in study.logs())
    wait_for(lambda: not cluster.live())
    assert study.status()["counts"]["missing"] == 3
    assert not study.parent_dir.record.exists()
