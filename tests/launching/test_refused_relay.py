"""A relay that Slurm refuses is told in the last line of the launch, with the way out."""

import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

from tests.cluster import Cluster
from tests.conftest import Command
from tests.faults import ROOT, SlurmStudy
from tests.launching.seen_from_outside import once_each, runs_in_queue

NOWHERE = {"relay": {"memory": None, "partition": "nowhere"}}


def test_jobs_in_the_queue_without_a_relay_are_told_in_the_last_line(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    cluster.drain()
    study = SlurmStudy(tmp_path, shards, slurm=NOWHERE)
    *_, last = study.call("launch", code=1).splitlines()
    assert last.startswith("no relay is in the queue") and "launch again" in last
    assert "slurm.relay" in last and "invalid partition" in last
    assert runs_in_queue(study, cluster)["relay"] == 0
    told = study.launch(code=1)
    assert "invalid partition" in told["relay_error"] and told["relay"] is None
    assert (told["submitted"]["runs"], told["in_queue"]) == (0, 3)

    corrected = SlurmStudy(tmp_path, shards)
    assert corrected.launch()["relay_error"] == ""
    assert runs_in_queue(corrected, cluster) == once_each(corrected)


def launch_that_ends(
    study: SlurmStudy, command: Command, after_sbatch: str
) -> subprocess.CompletedProcess[str]:
    """A launch to which something happens after its first sbatch."""
    real = shutil.which("sbatch", path="/usr/bin:/usr/local/bin:/opt/slurm/bin")
    command("sbatch", f'{real} "$@" || exit\n{after_sbatch}')
    return subprocess.run(
        study.command("launch"), capture_output=True, text=True, cwd=ROOT,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell may ignore it
    )  # fmt: skip


def test_a_store_that_fails_between_the_jobs_and_the_relay_is_told_in_the_last_line(
    tmp_path: Path, shards: Path, cluster: Cluster, command: Command
) -> None:
    cluster.drain()
    study = SlurmStudy(tmp_path, shards)
    ledger = study.store.study("faults").launches
    done = launch_that_ends(study, command, f"mv '{ledger}' '{ledger}.old'; mkdir '{ledger}'")
    *_, last = done.stderr.splitlines()
    assert done.returncode == 1 and "cannot be written" in last
    assert "no relay is in the queue" in last and "launch again" in last
    assert len(cluster.live()) == 1


def test_an_interrupt_between_the_jobs_and_the_relay_is_told_in_the_last_line(
    tmp_path: Path, shards: Path, cluster: Cluster, command: Command
) -> None:
    cluster.drain()
    study = SlurmStudy(tmp_path, shards)
    launcher = "$(ps -o ppid= $PPID)"  # `timeout` is between
    done = launch_that_ends(study, command, f"kill -{signal.SIGINT} {launcher}; sleep 9")
    *_, last = done.stderr.splitlines()
    assert done.returncode == 130 and last.startswith("interrupted; launch again")
    assert "no relay is in the queue" in last
