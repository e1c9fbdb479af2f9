"""How many jobs Slurm takes, from its own limits and the site's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.errors import SlurmError, SubmitLimit
from hpc_xfer.slurm.limits import standing_limits, submit_limits
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import current_queue, current_user, ended_jobs
from hpc_xfer.slurm.request import Limits, Request
from hpc_xfer.slurm.sbatch import refusal_of, submit_job
from tests.cluster import Cluster
from tests.conftest import Command
from tests.slurm import CPU
from tests.waiting import wait_for


def test_limits_are_slurms_or_the_sites_if_those_are_lower(cluster: Cluster) -> None:
    now = current_queue()
    assert submit_limits(CPU, now) == Limits(1001, 10000 - 100 - now.everybodys)
    few = CPU.model_copy(update={"max_array": 50, "max_jobs": 7})
    assert submit_limits(few, now) == Limits(50, 7 - now.mine)


def test_limits_of_an_empty_queue_are_those_of_slurm_whatever_is_in_it(cluster: Cluster) -> None:
    assert standing_limits(CPU) == Limits(1001, 10000 - 100)
    assert standing_limits(CPU.model_copy(update={"max_array": 50})) == Limits(50, 9900)


def test_where_slurm_does_not_answer_nobody_knows_its_limits(command: Command) -> None:
    command("scontrol", "exit 1")
    assert standing_limits(CPU) is None


def test_where_slurm_shows_no_settings_its_defaults_are_assumed(command: Command) -> None:
    command("scontrol", "echo 'slurm_load_ctl_conf error: Access/permission denied' >&2; exit 1")
    command("sacctmgr", "exit 1")
    assert submit_limits(CPU, Queue()) == Limits(1001, None)


def test_an_array_has_no_more_elements_than_slurm_takes(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, settings={"SchedulerParameters": "max_array_tasks=3"})
    cluster.drain()
    most = submit_limits(CPU, current_queue()).array
    assert most == 3
    submit_job(Request("x", ("true",), tmp_path, 1, array=most), CPU)
    with pytest.raises(SlurmError, match="Invalid job array specification"):
        submit_job(Request("x", ("true",), tmp_path, 1, array=most + 1), CPU)


def test_a_full_queue_is_told_apart_from_a_refusal(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    settings = {"AccountingStorageEnforce": "limits,qos"}
    cluster = make_cluster(nodes=1, accounting=True, settings=settings)
    cluster.limit_submits(2)
    cluster.drain()
    request = Request("x", ("true",), tmp_path, 1, array=2)
    job = submit_job(request, CPU)
    assert submit_limits(CPU, current_queue()).room == 0
    with pytest.raises(SubmitLimit, match="accepts no more jobs now"):
        submit_job(request, CPU)
    cluster.run("scancel", job)
    wait_for(lambda: not cluster.live())
    alone = submit_job(Request("x", ("true",), tmp_path, 1), CPU)
    cluster.run("scancel", alone)
    wait_for(lambda: alone in ended_jobs([job, alone]))
    assert ended_jobs([alone])[alone].state == "CANCELLED"


def test_a_limit_that_does_not_pass_is_a_refusal(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    """Waiting for room would not help; and a QOS counts none but its own jobs."""
    cluster = make_cluster(nodes=1, accounting=True)
    change = ("sacctmgr", "-i")
    limits = ("MaxWall=1", "MaxSubmitJobsPerUser=2", "Flags=DenyOnLimit")
    cluster.run(*change, "add", "qos", "tight", "set", *limits)
    cluster.run(*change, "modify", "user", "where", f"name={current_user()}", "set", "qos+=tight")
    tight = CPU.model_copy(update={"qos": "tight"})
    short, long = (Request("x", ("true",), tmp_path, minutes) for minutes in (1, 10))
    wait_for(lambda: refusal_of(short, tight) is None)
    cluster.drain()
    submit_job(replace(short, array=3), CPU)  # normal
    assert submit_limits(tight, current_queue()).room == 2
    with pytest.raises(SlurmError, match="refused a job: QOSMaxWall") as refused:
        submit_job(long, tight)
    assert not isinstance(refused.value, SubmitLimit)
    submit_job(replace(short, array=2), tight)
    assert submit_limits(tight, current_queue()).room == 0
    with pytest.raises(SubmitLimit):
        submit_job(short, tight)


def test_a_limit_of_the_association_is_kept(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, accounting=True)
    who = ("where", f"name={current_user()}")
    cluster.run("sacctmgr", "-i", "modify", "user", *who, "set", "MaxSubmitJobs=3")
    cluster.drain()
    assert submit_limits(CPU, current_queue()).room == 3
    request = Request("x", ("true",), tmp_path, 1, array=2)
    submit_job(request, CPU)
    assert submit_limits(CPU, current_queue()).room == 1
    with pytest.raises(SubmitLimit):
        submit_job(request, CPU)


def test_a_limit_on_another_cluster_of_the_same_accounting_is_none_here(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(nodes=1, accounting=True)
    change = ("sacctmgr", "-i")
    cluster.run(*change, "add", "cluster", "elsewhere")
    if current_user() != "root":  # who is there from the start
        who = (current_user(), "account=root", "cluster=elsewhere")
        cluster.run(*change, "add", "user", *who)
    where = ("where", f"name={current_user()}", "cluster=elsewhere")
    cluster.run(*change, "modify", "user", *where, "set", "MaxSubmitJobs=1")
    cluster.limit_submits(3)
    assert submit_limits(CPU, current_queue()).room == 3


def test_room_is_what_slurm_takes_where_jobs_that_ended_count(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, settings={"MaxJobCount": "20"})
    ended = [cluster.submit("true") for _ in range(3)]
    wait_for(lambda: {cluster.state(job) for job in ended} == {"COMPLETED"})
    cluster.drain()
    room = submit_limits(CPU, current_queue()).room
    assert room == 20 - 2 - 3
    submit_job(Request("x", ("true",), tmp_path, 1, array=room), CPU)
    assert submit_limits(CPU, current_queue()).room == 0
