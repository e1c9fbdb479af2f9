"""What a worker makes of a run that it cannot even begin."""

import sys
from pathlib import Path

import pytest

from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from tests import tiny


def test_a_package_that_cannot_be_imported_is_an_error_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the node: a worker that died of it would be started on one node after another."""
    monkeypatch.setitem(sys.modules, "hpc_xfer.compute.pretraining.task", None)
    store, run = Store(tmp_path), tiny.pretraining("scratch")
    started, failed = tiny.execute(store, run)
    assert (started["event"], failed["event"], failed["class"]) == ("started", "failed", "code")
    error = failures.read(store.run(run.id))
    assert error is not None and "hpc_xfer.compute.pretraining.task" in error["message"]
