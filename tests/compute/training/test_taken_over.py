"""One process owns a run: another one writes nothing, and leaves alone what is done."""

from pathlib import Path

import pytest

from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.errors import ClaimLost
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from tests import tiny
from tests.compute.training.stopping import ALWAYS, a, step_of


def test_a_process_that_lost_the_claim_writes_nothing(tmp_path: Path) -> None:
    run = Store(tmp_path).run("c0ffee12ab34")
    claim = run_claims.take(run)
    assert claim is not None
    Checkpoints(run, claim).save({"step": 1})
    (run.claims / "2.json").write_text("{}")
    with pytest.raises(ClaimLost, match="c0ffee12ab34: another process has taken this over"):
        Checkpoints(run, claim).save({"step": 2})
    assert step_of(run.checkpoint) == 1
    assert not run.previous_checkpoint.exists()
    assert [path.name for path in run.path.iterdir() if path.suffix == ".tmp"] == []


class OvertakenAfter(tiny.StopAfter):
    """Another process takes the run over during the training."""

    def __init__(self, looks: int, run: RunDir) -> None:
        super().__init__(looks)
        self.run = run

    @property
    def requested(self) -> bool:
        if super().requested:
            (self.run.claims / "2.json").write_text("{}")
        return False


def test_a_run_that_was_taken_over_stops_at_its_next_checkpoint(
    tmp_path: Path, shards: Path
) -> None:
    run = a("supervised")
    folder = Store(tmp_path).run(run.id)
    stop = OvertakenAfter(3, folder)
    events = tiny.execute(Store(tmp_path), run, shards, stop=stop, **ALWAYS)
    assert [event["event"] for event in events] == ["started", "held"]
    assert step_of(folder.checkpoint) in (1, 2)  # the second may be half written when it is lost
    assert not folder.encoder.exists() and not folder.record.exists() and not folder.error.exists()


def test_a_run_that_was_taken_over_at_the_end_leaves_no_product(
    tmp_path: Path, shards: Path
) -> None:
    run = a("supervised")
    folder = Store(tmp_path).run(run.id)
    events = tiny.execute(Store(tmp_path), run, shards, stop=OvertakenAfter(3, folder))
    assert [event["event"] for event in events] == ["started", "held"]
    assert not folder.encoder.exists() and not folder.record.exists()


def test_checkpoints_left_beside_a_record_are_deleted_by_the_next_process(
    tmp_path: Path, shards: Path
) -> None:
    store, run = Store(tmp_path), a("simclr")
    folder = tiny.finished(store, run, shards)
    for path in (folder.checkpoint, folder.previous_checkpoint):
        path.write_bytes(b"left")
    assert [event["event"] for event in tiny.execute(store, run, shards)] == ["done"]
    assert not folder.checkpoint.exists() and not folder.previous_checkpoint.exists()


def test_a_finished_run_with_a_live_owner_is_left_alone(tmp_path: Path, shards: Path) -> None:
    """The owner has written the record, but not yet released the claim."""
    store, run = Store(tmp_path), a("simclr")
    folder = tiny.finished(store, run, shards)
    claim = run_claims.take(folder)
    assert claim is not None
    assert [event["event"] for event in tiny.execute(store, run, shards)] == ["held"]
    claim.release()
    assert [event["event"] for event in tiny.execute(store, run, shards)] == ["done"]
    assert run_claims.attempts(folder) == 2
