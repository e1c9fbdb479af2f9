"""Checkpoints: atomic, verified, two kept, written while training goes on."""

import random
import resource
import signal
import warnings
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.errors import ClaimLost, StoreError
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files
from tests import tiny


def state(step: int, size: int = 100) -> dict[str, object]:
    weights = torch.arange(size, dtype=torch.float32) + step
    return {"step": step, "objective": {"weights": weights, "half": weights.bfloat16()}}


def owned(tmp_path: Path) -> Checkpoints:
    run = RunDir(tmp_path / "c0ffee12ab34")
    return Checkpoints(run, run_claims.take(run))


def names(run: RunDir) -> set[str]:
    return {path.name for path in run.path.iterdir()} - {"claims"}


def test_the_newest_is_loaded_and_the_one_before_is_kept(tmp_path: Path) -> None:
    kept = owned(tmp_path)
    assert kept.load() is None
    for step in (1, 2, 3):
        kept.save(state(step))
        loaded = kept.load()
        assert loaded is not None and loaded["step"] == step
        assert torch.equal(loaded["objective"]["weights"], torch.arange(100.0) + step)
        assert loaded["objective"]["half"].dtype == torch.bfloat16
    assert names(kept.run) == {"checkpoint.pt", "checkpoint.previous.pt"}
    before = weights_file.read(kept.run.previous_checkpoint)
    assert before is not None and before["step"] == 2
    kept.discard()
    assert names(kept.run) == set()


def test_temporary_files_of_killed_attempts_are_deleted(tmp_path: Path) -> None:
    kept = owned(tmp_path)
    for name in (".checkpoint.pt.123.ab.tmp", ".progress.json.123.ab.tmp", ".recipe.json.1.a.tmp"):
        (kept.run.path / name).write_bytes(b"half")
    kept.save(state(1))
    assert names(kept.run) == {"checkpoint.pt", ".recipe.json.1.a.tmp"}


def test_each_flipped_byte_that_matters_is_noticed(tmp_path: Path) -> None:
    """Either the file is skipped with a warning, or the byte does not matter."""
    path, rng = tmp_path / "checkpoint.pt", random.Random(0)
    weights_file.write(path, state(1))
    whole = path.read_bytes()
    noticed = 0
    for place in sorted(rng.sample(range(len(whole)), 400)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = weights_file.read(path)
        if found is None:
            noticed += 1
            assert len(caught) == 1 and "is damaged" in str(caught[0].message)
            assert "\n" not in str(caught[0].message)
        else:
            assert found["step"] == 1
            assert torch.equal(found["objective"]["weights"], torch.arange(100.0) + 1)
    assert noticed > 100


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_skipped(share: float, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    weights_file.write(path, state(1))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.warns(UserWarning, match=r"checkpoint\.pt: is damaged"):
        assert weights_file.read(path) is None


def test_a_file_that_is_not_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"step": Path("a pickled class")}, path)
    with pytest.warns(UserWarning, match="is damaged"):
        assert weights_file.read(path) is None


def on_a_full_disk(root: Path, size: int) -> None:
    """A limit for the size of files stands for a full disk; no temporary file stays."""
    kept = owned(root)
    kept.save(state(1, 10))
    kept.save(state(2, 10))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    with pytest.raises(StoreError, match=r"checkpoint\.pt: cannot be written \(File too large\)"):
        kept.save(state(3, size))
    assert names(kept.run) == {"checkpoint.pt", "checkpoint.previous.pt"}
    loaded = kept.load()
    assert loaded is not None and loaded["step"] == 2


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_a_full_disk_is_reported_and_keeps_both_checkpoints(size: int, tmp_path: Path) -> None:
    assert tiny.join([tiny.child(on_a_full_disk, tmp_path, size)]) == [0]


# Written by a thread while training goes on.


def test_a_checkpoint_holds_the_state_at_the_time_it_was_begun(tmp_path: Path) -> None:
    kept, now = owned(tmp_path), state(1, 1_000_000)
    with kept:
        kept.begin(now)
        now["objective"]["weights"].zero_()  # type: ignore[index]  # as the next step would
    loaded = kept.load()
    assert loaded is not None
    assert torch.equal(loaded["objective"]["weights"], torch.arange(1e6) + 1)


def test_a_checkpoint_waits_until_the_previous_one_is_on_disk(tmp_path: Path) -> None:
    with owned(tmp_path) as kept:
        for step in (1, 2, 3):
            kept.begin(state(step, 1_000_000))
            before = weights_file.read(kept.run.checkpoint)
            assert before is None or before["step"] >= step - 1
    loaded, before = kept.load(), weights_file.read(kept.run.previous_checkpoint)
    assert loaded is not None and before is not None
    assert (loaded["step"], before["step"]) == (3, 2)


def test_writing_and_reading_a_large_state_shows_signs_of_life(tmp_path: Path) -> None:
    """Each 64 MB on disk when it is written, each MB when it is read."""
    signs: list[str] = []
    large = {"weights": torch.full((150 << 20,), 7, dtype=torch.uint8)}
    with open(tmp_path / "large.pt", "wb") as file:
        weights_file.save_tensors(large, file, lambda: signs.append("written"))
    assert signs == ["written"] * 2
    found = weights_file.read(tmp_path / "large.pt", lambda: signs.append("read"))
    assert found is not None and torch.equal(found["weights"], large["weights"])
    assert signs.count("read") == 150


def test_a_checkpoint_is_late_only_after_a_while(tmp_path: Path) -> None:
    """Training goes on without another one while a slow disk takes longer than the interval."""
    with owned(tmp_path) as kept:
        assert not kept.is_late
        kept.begin(state(1))
        assert not kept.is_late


def test_state_dicts_keep_their_attributes(tmp_path: Path) -> None:
    """Modules look at the versions in `_metadata` (public only there) to read older weights."""
    weights = torch.nn.BatchNorm2d(3).state_dict()
    with owned(tmp_path) as kept:
        kept.begin({"step": 1, "objective": weights, "pair": ([torch.ones(1)], (1, 2))})
    loaded = kept.load()
    assert loaded is not None and loaded["pair"] == ([torch.ones(1)], (1, 2))
    assert loaded["objective"]._metadata == weights._metadata  # type: ignore[attr-defined]


def test_a_process_that_lost_the_claim_replaces_no_checkpoint(tmp_path: Path) -> None:
    kept = owned(tmp_path)
    kept.save(state(1))
    claim = run_claims.holder(kept.run)
    atomic_files.write_json(kept.run.claims / "1.json", {**(claim or {}), "host": "node7"})
    assert run_claims.revoke(kept.run, 1, "the node is dead")
    with pytest.raises(ClaimLost):
        kept.begin(state(2))
    loaded = kept.load()
    assert loaded is not None and loaded["step"] == 1


def raised_later(root: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    kept = owned(root)
    with pytest.raises(StoreError, match=r"checkpoint\.pt: cannot be written"), kept:
        kept.begin(state(1, 1_000_000))  # raises nothing; the end of the block does
    kept.begin(state(1, 1_000_000))
    with pytest.raises(StoreError, match=r"checkpoint\.pt: cannot be written"):
        kept.wait()
    kept.check()  # it is raised once
    with (
        pytest.raises(ZeroDivisionError),
        kept,
    ):  # the error of the training is raised, not this one
        kept.begin(state(1, 1_000_000))
        raise ZeroDivisionError


def test_a_full_disk_in_the_writing_thread_is_raised_in_the_training_thread(tmp_path: Path) -> None:
    assert tiny.join([tiny.child(raised_later, tmp_path)]) == [0]
