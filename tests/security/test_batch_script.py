"""The batch script reaches Slurm as we wrote it, and the copy for people holds no value."""

import subprocess
from pathlib import Path

import pytest

from hpc_xfer.slurm.batch_script import log_path, script_text
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import is_submitting, submit_job
from tests.cluster import Cluster
from tests.conftest import Command
from tests.security.conftest import Neighbor
from tests.slurm import CPU
from tests.waiting import wait_for

SWAPPER = """
import os
logs, mark = {logs!r}, {mark!r}
evil = os.path.join(logs, 'evil')
open(evil, 'w').write('#!/bin/bash\\nid > ' + mark + '\\n')
print('ready', flush=True)
while True:
    for name in os.listdir(logs):
        if 'submission' in name:
            try:
                os.link(evil, evil + '.new')
                os.replace(evil + '.new', os.path.join(logs, name))
            except OSError:
                pass
"""


def test_a_neighbor_who_swaps_what_lies_in_the_logs_changes_no_job(
    lab: Path, neighbor: Neighbor, cluster: Cluster
) -> None:
    mark = lab / "mark"
    swapper = neighbor.starts(SWAPPER.format(logs=str(lab), mark=str(mark)))
    try:
        assert swapper.stdout is not None and swapper.stdout.readline() == "ready\n"
        jobs = [submit_job(Request("x", ("echo", "ours"), lab, 1), CPU) for _ in range(3)]
        for job in jobs:
            stored = cluster.run("scontrol", "write", "batch_script", job, "-")
            assert stored.strip() == script_text(Request("x", ("echo", "ours"), lab, 1), CPU)
        wait_for(lambda: all(cluster.state(job) == "COMPLETED" for job in jobs))
    finally:
        swapper.kill()
        swapper.communicate()
    assert [log_path(lab, job).read_text() for job in jobs] == ["ours\n"] * 3
    assert not mark.exists()


def test_a_job_gets_the_values_of_the_site_and_the_copy_for_people_does_not(
    tmp_path: Path, cluster: Cluster
) -> None:
    slurm = CPU.model_copy(update={"environment": {"TOKEN": "s3cr3t"}, "setup": ("A=s3cr3t",)})
    command = ("sh", "-c", "test $TOKEN = s3cr3t && echo it fits")
    job = submit_job(Request("x", command, tmp_path, 1), slurm)
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    assert log_path(tmp_path, job).read_text() == "it fits\n"
    copy = (tmp_path / f"{job}_submission.sh").read_text()
    assert "export TOKEN='***'\n" in copy and "\nA=***\n" in copy
    assert "s3cr3t" not in copy.replace(command[2], "").replace("'test $TOKEN", "")


def test_nobody_but_its_user_reads_the_copy_of_a_script(tmp_path: Path, command: Command) -> None:
    """A line of `setup` may hold a value in its middle, where no rule finds it."""
    command("sbatch", "echo Submitted batch job 123")
    slurm = CPU.model_copy(update={"setup": ("curl -H 'Authorization: Bearer s3cr3t' lab",)})
    submit_job(Request("x", ("true",), tmp_path, 1), slurm)
    assert (tmp_path / "123_submission.sh").stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_place_of_the_copy_is_not_written_through(
    tmp_path: Path, command: Command
) -> None:
    command("sbatch", "echo Submitted batch job 123")
    victim, logs = tmp_path / "victim", tmp_path / "logs"
    victim.write_text("of the user\n")
    logs.mkdir()
    (logs / "123_submission.sh").symlink_to(victim)
    assert submit_job(Request("x", ("true",), logs, 1), CPU) == "123"
    assert victim.read_text() == "of the user\n"


@pytest.mark.parametrize("of_us", [True, False])
def test_a_neighbor_with_the_words_of_an_sbatch_holds_no_launch(
    tmp_path: Path, neighbor: Neighbor, of_us: bool
) -> None:
    call = ["sh", "-c", "echo ready; read line", "sbatch", f"--output={tmp_path}/%j_0_log.out"]
    user = None if of_us else neighbor.uid
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(call, user=user, cwd="/", text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        assert is_submitting(tmp_path) == of_us
        process.communicate("\n")
