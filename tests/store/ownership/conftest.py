"""A run, and another process that takes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.store.paths import RunDir
from tests.store.ownership.other_owners import Taker


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "c0ffee12ab34")


@pytest.fixture
def other(run: RunDir) -> Iterator[Taker]:
    taker = Taker(run)
    yield taker
    taker.end()
