"""Share studies whose jobs wait in the queue of a real Slurm."""

from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults import SlurmStudy
from tests.launching.seen_from_outside import is_now_an_hour_later


@pytest.fixture
def queued(tmp_path: Path, shards: Path, cluster: Cluster) -> SlurmStudy:
    """A study whose three runs have waited in the queue for an hour."""
    cluster.drain()
    study = SlurmStudy(tmp_path, shards)
    study.launch()
    is_now_an_hour_later(study)
    return study
