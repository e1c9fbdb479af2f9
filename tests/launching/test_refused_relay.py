"""A relay that Slurm refuses is told in the last line of the launch, with the way out."""

from pathlib import Path

from tests.cluster import Cluster
from tests.faults import SlurmStudy
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
