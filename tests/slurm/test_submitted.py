"""Find jobs by name, and read them a second way where squeue shows nothing."""

import os
from pathlib import Path

import pytest

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.slurm.submitted import jobs_named, known_jobs, read_jobs
from tests.cluster import Cluster
from tests.conftest import Command
from tests.slurm import CPU
from tests.waiting import wait_for

# What Slurm 22.05 printed, without the fields in the middle.
RECORDED = """\
JobId=1 JobName=a name = with spaces UserId=root(0) GroupId=root(0) MCS_label=N/A \
Priority=4294901759 Nice=0 Account=root QOS=normal JobState=COMPLETED Reason=None \
RunTime=00:00:00 ReqNodeList=(null) ExcNodeList=(null) NodeList=n1 BatchHost=n1 Power=\x20
JobId=15 ArrayJobId=6 ArrayTaskId=7 JobName=run.x.1 UserId=root(0) GroupId=root(0) MCS_label=N/A \
Priority=4294901755 Nice=0 Account=root QOS=normal JobState=RUNNING Reason=None \
RunTime=00:00:03 ReqNodeList=(null) ExcNodeList=(null) NodeList=n1 BatchHost=n1 Power=\x20
JobId=4 JobName=pipe|x UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=0 Nice=0 \
Account=root QOS=normal JobState=PENDING Reason=JobHeldUser RunTime=00:00:00 \
ReqNodeList=(null) ExcNodeList=(null) NodeList= Comment=see NodeList=n9 here  StdErr=/dev/null
JobId=5 JobName=two
lines UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901756 Nice=0 Account=root \
QOS=normal JobState=COMPLETED Reason=None RunTime=00:00:00 ReqNodeList=(null) NodeList=n1 Power=
JobId=2 ArrayJobId=2 ArrayTaskId=0,4-9%4 ArrayTaskThrottle=4 JobName=ft5.x.1 UserId=root(0) \
GroupId=root(0) MCS_label=N/A Priority=4294901758 Nice=0 Account=root QOS=normal \
JobState=PENDING Reason=Resources RunTime=00:00:00 ReqNodeList=(null) NodeList=(null) Power=
JobId=9 JobName=of.another UserId=ann(1007) GroupId=ann(1007) MCS_label=N/A Priority=1 \
JobState=RUNNING Reason=None NodeList=n2
JobId=8 JobName=pre.x.1 UserId=root(0) GroupId=ann(1007) UserId=ann(1007) GroupId=ann(1007) \
MCS_label=N/A Priority=1 JobState=RUNNING Reason=None NodeList=n2
"""


def test_jobs_of_one_user_are_read_whatever_their_names_contain() -> None:
    lines = read_jobs(RECORDED, 0)
    assert [(line.job, line.raw, line.name, line.state) for line in lines[:4]] == [
        ("1", "1", "a name = with spaces", "COMPLETED"),
        ("6_7", "15", "run.x.1", "RUNNING"),
        ("4", "4", "pipe|x", "PENDING"),
        ("5", "5", "two\nlines", "COMPLETED"),
    ]
    held = lines[2]
    assert (held.user, held.reason, held.nodes, held.qos) == ("root", "JobHeldUser", "", "normal")
    assert (lines[1].nodes, lines[1].elapsed) == ("n1", "00:00:03")


def test_a_row_for_many_elements_that_wait_is_a_line_for_each() -> None:
    waiting = [line for line in read_jobs(RECORDED, 0) if line.name == "ft5.x.1"]
    assert [line.job for line in waiting] == [f"2_{i}" for i in (0, 4, 5, 6, 7, 8, 9)]


def test_a_job_of_another_user_cannot_pass_for_ours_by_its_name() -> None:
    assert "pre.x.1" not in {line.name for line in read_jobs(RECORDED, 0)}
    assert [line.name for line in read_jobs(RECORDED, 1007)] == ["of.another"]


@pytest.fixture
def submitted(cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    """A job, an array and a job that was cancelled, by name."""
    cluster.drain()
    jobs = {
        "pre.x.1": submit_job(Request("pre.x.1", ("true",), tmp_path, 1), CPU),
        "ft5.x.1": submit_job(Request("ft5.x.1", ("true",), tmp_path, 1, array=12, at_once=3), CPU),
        "ft5.x.2": submit_job(Request("ft5.x.2", ("true",), tmp_path, 1, array=3), CPU),
    }
    cluster.run("scancel", jobs["ft5.x.2"], f"{jobs['ft5.x.1']}_4")
    wait_for(lambda: not cluster.state(jobs["ft5.x.2"]).startswith("PEND"))
    return jobs


def test_jobs_are_found_by_name_with_the_number_of_an_array_as_a_whole(
    submitted: dict[str, str],
) -> None:
    assert jobs_named([*submitted, "absent.x.1"]) == submitted
    assert jobs_named([]) == {}


def test_a_squeue_that_prints_nothing_is_not_believed(
    submitted: dict[str, str], command: Command
) -> None:
    command("squeue", "exit 0")
    assert jobs_named([*submitted, "absent.x.1"]) == submitted


def test_a_job_is_not_called_absent_where_nobody_answers(
    submitted: dict[str, str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_XFER_SLURM_PATIENCE", "0")
    command("squeue", "exit 0")
    command("scontrol", "echo 'Unexpected message received' >&2; exit 1")
    with pytest.raises(SlurmError, match="Unexpected message received"):
        jobs_named(submitted)


def test_scontrol_shows_every_element_in_one_call(submitted: dict[str, str]) -> None:
    array, ended = submitted["ft5.x.1"], submitted["ft5.x.2"]
    lines = {line.job: line for line in known_jobs()}
    left = {f"{array}_{i}" for i in range(12) if i != 4}  # one that never began is forgotten
    assert left <= set(lines) and f"{array}_4" not in lines
    assert {lines[job].state for job in left} == {"PENDING"}
    assert not any(lines[f"{ended}_{i}"].live for i in range(3))
    assert {line.user for line in lines.values()} == {current_user()}
    assert os.geteuid() != 0 or lines[submitted["pre.x.1"]].user == "root"


def test_of_jobs_of_one_name_the_live_one_counts_and_then_the_last(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.drain()
    first, second = (submit_job(Request("x.1", ("true",), tmp_path, 1), CPU) for _ in range(2))
    assert jobs_named(["x.1"]) == {"x.1": second}
    cluster.run("scancel", second)
    wait_for(lambda: cluster.state(second) == "CANCELLED")
    assert jobs_named(["x.1"]) == {"x.1": first}
