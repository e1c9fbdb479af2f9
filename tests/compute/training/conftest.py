"""Shards that the tests of training share."""

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")
