"""What the small study on a real Slurm comes to."""

from pathlib import Path
from typing import Any

import pytest

from tests import faults


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> dict[str, Any]:
    """The results of the study when nothing happens to it."""
    return faults.undisturbed(tmp_path_factory.mktemp("undisturbed"), shards).results()
