"""Jobs of the tests of execution, and shards for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.execution.jobs_without_slurm import Jobs


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("shards") / "sans")


@pytest.fixture
def jobs(tmp_path: Path, shards: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path, shards)
    yield made
    made.end()
