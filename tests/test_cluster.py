"""The Slurm of the tests does what a Slurm does, and leaves nothing behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import other_clock
from tests.cluster import Cluster, ClusterError
from tests.cluster import __main__ as command_line
from tests.conftest import AnotherTime
from tests.waiting import wait_for

pytestmark = pytest.mark.slurm


def test_a_job_runs_on_two_nodes(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(f"srun sh -c 'echo $SLURMD_NODENAME >> {tmp_path}/nodes'", "-N2")
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    assert sorted((tmp_path / "nodes").read_text().split()) == ["n1", "n2"]


def test_a_job_gets_the_gpus_it_asks_for(cluster: Cluster) -> None:
    assert cluster.run("srun", "--gres=gpu:2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES") == "0,1"


def test_a_cluster_that_runs_is_found_by_another_shell(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line.main(["start", str(cluster.root)])
    told = capsys.readouterr()
    assert told.out == f"export SLURM_CONF={cluster.conf}\n"
    assert told.err == f"{cluster.root}: a cluster runs there already, as it was started\n"


def test_several_jobs_share_a_node(cluster: Cluster) -> None:
    cluster.drain("n2", "n3", "n4")
    jobs = [cluster.submit("sleep 100", "-c4") for _ in range(3)]
    wait_for(lambda: [cluster.state(job) for job in jobs] == ["RUNNING"] * 3)


def test_a_requeued_job_comes_back_soon(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(f"echo $SLURM_RESTART_COUNT >> {tmp_path}/starts; sleep 100")
    wait_for((tmp_path / "starts").exists)
    cluster.run("scontrol", "requeue", job)
    wait_for(lambda: (tmp_path / "starts").read_text() == "\n1\n")


def test_an_urgent_job_sends_another_back_to_the_queue(cluster: Cluster) -> None:
    job = cluster.submit("sleep 100", "-N4", "--exclusive")
    wait_for(lambda: cluster.state(job) == "RUNNING")
    urgent = cluster.submit("sleep 100", "-N1", "-p", "urgent")
    wait_for(lambda: cluster.state(urgent) == "RUNNING")
    wait_for(lambda: cluster.state(job) == "PENDING")


def test_a_dead_slurmd_gives_node_fail(
    make_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    cluster = make_cluster(nodes=2, settings={"SlurmdTimeout": "10"})
    job = cluster.submit(f"touch {tmp_path}/began; sleep 1000", "--no-requeue", "-w", "n2")
    # RUNNING is not enough: a job that its slurmd has not begun is requeued, --no-requeue or not.
    wait_for((tmp_path / "began").exists)
    cluster.kill_node("n2")
    wait_for(lambda: cluster.state(job) == "NODE_FAIL")


def test_a_job_that_is_known_survives_its_controller(cluster: Cluster) -> None:
    job = cluster.submit("sleep 100")
    wait_for(lambda: cluster.state(job) == "RUNNING")
    cluster.stop_controller()
    with pytest.raises(ClusterError, match="Unable to contact slurm controller"):
        cluster.live()
    cluster.start_controller()
    assert cluster.state(job) == "RUNNING"


def test_a_controller_that_was_reinstalled_gives_its_numbers_again(cluster: Cluster) -> None:
    first = cluster.submit("sleep 100")
    wait_for(lambda: cluster.state(first) == "RUNNING")
    cluster.reinstall_controller()
    assert cluster.live() == []
    cluster.drain()
    assert cluster.submit("sleep 100") == "1"


def test_a_controller_that_lost_its_last_jobs_gives_their_numbers_again(cluster: Cluster) -> None:
    cluster.drain()
    kept = cluster.submit("sleep 100")
    saved = cluster.save_state()
    lost = cluster.submit("sleep 100", "-J", "lost")
    cluster.lose_what_came_after(saved)
    assert cluster.live() == [kept]
    assert cluster.submit("sleep 100", "-J", "another") == lost


def test_one_login_node_serves_two_clusters(
    two_clusters: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    login, gpu = two_clusters
    script = f"squeue -h -o %T > {tmp_path}/part && mv {tmp_path}/part {tmp_path}/seen; sleep 100"
    job = login.submit(script, "-M", "gpu")
    wait_for((tmp_path / "seen").exists)  # it asks its own cluster, though not by name
    assert (tmp_path / "seen").read_text() == "RUNNING\n"
    assert (login.live(), gpu.live()) == ([], [job])
    assert login.run("squeue", "-M", "gpu", "-h", "-o", "%i") == job
    assert "JobState=RUNNING" in login.run("scontrol", "-M", "gpu", "show", "job", job)
    login.run("scancel", "-M", "gpu", job)
    ended = ("sacct", "-M", "gpu", "-nPX", "-j", job, "-o", "State")
    wait_for(lambda: login.run(*ended).startswith("CANCELLED"))
    back = gpu.submit("true", "-M", "login")
    wait_for(lambda: login.state(back) == "COMPLETED")


def test_nodes_may_see_another_folder_than_the_login_node(
    make_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    """Where the login node has a link into /mnt, nodes have the disk itself, and no /mnt."""
    disk, mnt, scratch, hidden = (tmp_path / name for name in ("disk", "mnt", "scratch", "hidden"))
    for folder in (disk, mnt / "disk", hidden / "disk"):
        folder.mkdir(parents=True)
    scratch.symlink_to(mnt / "disk")
    cluster = make_cluster(nodes=1, mounts={disk: mnt / "disk", mnt: hidden})
    (scratch / "file").write_text("on the disk")
    job = cluster.submit(f"cp {disk}/file {disk}/copy; ls {mnt}/disk > {disk}/listed")
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    assert (scratch / "copy").read_text() == "on the disk"
    assert (scratch / "listed").read_text() == ""


def test_a_process_may_live_in_another_time(at_another_time: AnotherTime, tmp_path: Path) -> None:
    """Not so its files: touching one, new or not, gives it the time of the file system."""
    script = (
        "import pathlib, time; time.sleep(0.01); path = pathlib.Path('file'); path.touch(); "
        "print(round((time.time() - path.stat().st_mtime) / 3600))"
    )
    for hours in (-1, 2):
        env = {**os.environ, **at_another_time(hours)}
        done = subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path,
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert int(done.stdout) == hours


def test_a_process_that_was_killed_in_another_time_leaves_nothing_behind(
    at_another_time: AnotherTime,
) -> None:
    """libfaketime leaves files in /dev/shm then; 1 in 90 later starts met one of its own number."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    env = {**os.environ, **at_another_time(1)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        process.stdout.readline()
        left = list(Path("/dev/shm").glob(f"*faketime*_{process.pid}"))
        process.kill()
    assert left
    other_clock.clean_up()
    assert not any(path.exists() for path in left)
