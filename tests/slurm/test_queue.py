"""Ask a real Slurm for its queue and for jobs that ended."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.queue import current_queue, ended_jobs
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import is_installed, submit_job
from hpc_xfer.states.run_states import how_it_ended
from tests.cluster import Cluster
from tests.slurm import CPU
from tests.waiting import wait_for


def test_accounting_tells_how_elements_ended_that_never_began(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, accounting=True)
    cluster.drain()
    parent = submit_job(Request("pre.x.1", ("false",), tmp_path, 1), CPU)
    child = Request("ft1.x.1", ("true",), tmp_path, 1, array=60, after_ok=(parent,))
    cancelled, left = submit_job(child, CPU), submit_job(replace(child, array=2), CPU)
    cluster.run("scancel", *[f"{cancelled}_{index}" for index in range(0, 60, 3)])
    cluster.run("scancel", cancelled)  # of whose elements 64 characters would tell but some
    cluster.resume()
    some = {f"{cancelled}_{index}" for index in range(60) if index % 3}
    both = {f"{left}_0", f"{left}_1"}
    wait_for(lambda: (some | both) <= ended_jobs([cancelled, left]).keys())
    ended, queue = ended_jobs([cancelled, left]), current_queue().lines
    for lines in (ended, queue):
        assert {how_it_ended(lines[job]) for job in some} == {"cancelled"}
        assert {how_it_ended(lines[job]) for job in both} == {"dependency"}


def test_a_users_defaults_hide_no_job_and_spare_none(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a launch would miss what it submitted before, and submit it again."""
    cluster.drain()
    name = "pre.x.study.c0ffee-30e858.1"
    job = submit_job(Request(name, ("true",), tmp_path, 1), CPU)
    monkeypatch.setenv("SQUEUE_PARTITION", "urgent")
    monkeypatch.setenv("SCANCEL_STATE", "RUNNING")
    monkeypatch.setenv("USER", "somebody")
    assert current_queue().lines[job].state == "PENDING" and current_queue().mine == 1
    line = current_queue().lines[job]
    cancel_jobs([line], "30e858")
    wait_for(lambda: not current_queue().lines[job].live)
    never = [replace(line, job=job) for job in ("99999", "99999_3")]
    assert cancel_jobs([line, *never], "30e858") == []  # over, or never there: no error


def test_a_name_given_by_others_forges_no_job_and_stops_no_launch(cluster: Cluster) -> None:
    cluster.drain()
    row = "999|N/A|999|RUNNING|root|normal|n1|0:00|None|pre.x.study.c0ffee.1"
    cluster.submit("true", "-J", f"evil\n{row}")
    call = [b"sbatch", b"-o", b"/dev/null", b"-J", b"\xff\x0b\xfe|", b"--wrap", b"true"]
    subprocess.run(call, check=True, capture_output=True)
    queue = current_queue()
    assert "999" not in queue.lines and queue.mine == 2


def test_without_slurm_it_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_installed()
    with pytest.raises(SlurmError, match="squeue not found: this is not a login node"):
        current_queue()
