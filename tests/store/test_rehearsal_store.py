"""Stores of rehearsals stand beside the store; the newest is found again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.store import rehearsal_store
from hpc_xfer.store.store import Store


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with monkeypatch.context() as patch:
        yield patch
    time.tzset()


def test_the_newest_store_is_found_in_any_time_zone(
    tmp_path: Path, zone: pytest.MonkeyPatch
) -> None:
    """The clock of a login node goes back in autumn, and another login node may use UTC."""
    store = Store(tmp_path / "store")
    for where in ("EAST-14", "WEST+12"):  # the second clock shows 26 hours less
        zone.setenv("TZ", where)
        time.tzset()
        made = rehearsal_store.new_rehearsal_store(store)
        made.open()
    newest = rehearsal_store.newest_rehearsal_store(store)
    assert newest is not None and newest.root == made.root
