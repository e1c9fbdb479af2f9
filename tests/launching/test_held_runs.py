"""A job that finds its run at work elsewhere, on a real Slurm: it has not failed, and is no try."""

from pathlib import Path

from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.store.ownership import run_claims
from tests.cluster import Cluster
from tests.faults import SlurmStudy
from tests.waiting import wait_for


def test_a_job_that_finds_its_run_held_ends_with_a_code_of_its_own(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    """Somebody works on it in this process, which began while the job was in the queue."""
    cluster.drain()
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    job, name = study.job(), study.places(study.parent.id)[-1].submission.name
    claim = run_claims.take(study.parent_dir)
    assert claim is not None
    cluster.resume()
    wait_for(lambda: run_claims.found_held(study.parent_dir, name) == {job})
    wait_for(lambda: cluster.state(job) not in ("RUNNING", "COMPLETING"))
    assert "ExitCode=87:0" in cluster.run("scontrol", "show", "job", job)
    held = run_claims.holder(study.parent_dir)
    assert held is not None
    line = f"{study.parent.id}: held by {run_claims.owner_text(held)}; this job leaves it"
    assert line in log_path(study.store.study("faults").logs, job).read_text()
    assert not study.parent_dir.error.exists()
    claim.check()
    study.call("cancel")
