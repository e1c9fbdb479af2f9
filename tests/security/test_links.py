"""Links in a store: nothing is written through them, and a launch or a job says so."""

import os
from pathlib import Path

import pytest

from hpc_xfer import cancel, collect, launch, report
from hpc_xfer.compute.downstream.cached_array import CachedArray
from hpc_xfer.compute.training.metrics_log import MetricsLog
from hpc_xfer.errors import ClaimLost, StoreError
from hpc_xfer.store import failures
from hpc_xfer.store.access.logs import last_lines, open_log
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import read_ledger
from hpc_xfer.system import atomic_files
from tests.fabricated import ONE_CELL, make

PRECIOUS = "alias ls=ls\n"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of ours that a neighbour would like us to change."""
    path = tmp_path / ".bashrc"
    path.write_text(PRECIOUS)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere"
    path.mkdir()
    return path


def test_a_ledger_that_is_a_link_is_not_appended_to(tmp_path: Path, precious: Path) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    prepare_store(study, plan, store)
    store.study("one").launches.unlink(missing_ok=True)
    store.study("one").launches.symlink_to(precious)
    with pytest.raises(StoreError, match="is a link"):
        read_ledger(store).record_event("one", "launch", on="slurm")
    with pytest.raises(StoreError, match=r"launches.jsonl: is a link, and nothing in a store may"):
        store.open("one")
    assert precious.read_text() == PRECIOUS


def test_a_ledger_that_is_a_hard_link_is_not_appended_to(tmp_path: Path, precious: Path) -> None:
    os.link(precious, tmp_path / "launches.jsonl")
    with pytest.raises(StoreError, match="has a second name"):
        atomic_files.append_line(tmp_path / "launches.jsonl", "{}")
    assert precious.read_text() == PRECIOUS


@pytest.mark.parametrize(
    "name",
    ["runs", "studies", "studies/one", "studies/one/logs", "studies/one/packs", "studies/one/tb",
     "studies/one/summary", "studies/one/figures", "studies/one/imported", "cache",
     "cache/images", "cache/features", "fingerprints", "fingerprints/first", "lock", "code"],
)  # fmt: skip
def test_a_folder_of_the_store_that_is_a_link_is_refused_and_nothing_is_written(
    tmp_path: Path, elsewhere: Path, name: str
) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    path = store.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(elsewhere)
    with pytest.raises(StoreError) as caught:
        prepare_store(study, plan, store)
    assert str(caught.value) == (
        f"{path}: is a link, and nothing in a store may be one; remove it, or put there what it "
        "leads to"
    )
    assert [*elsewhere.iterdir()] == []


def test_the_path_of_a_store_may_have_links(tmp_path: Path, elsewhere: Path) -> None:
    """As /scratch on many clusters."""
    study, plan, _ = make(tmp_path, ONE_CELL)
    (tmp_path / "scratch").symlink_to(elsewhere)
    (elsewhere / "store").mkdir()
    (tmp_path / "short").symlink_to(elsewhere / "store")
    for root in (tmp_path / "scratch/new", tmp_path / "short"):
        prepare_store(study, plan, Store(root))


def test_a_run_folder_that_is_a_link_is_refused_by_a_launch(
    tmp_path: Path, elsewhere: Path
) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    store.open()
    store.run(plan.runs[0].id).path.symlink_to(elsewhere)
    with pytest.raises(StoreError, match=f"{plan.runs[0].id}: is a link, and nothing in a store"):
        prepare_store(study, plan, store)
    assert [*elsewhere.iterdir()] == []


@pytest.mark.parametrize("part", ["", "claims", "found_held"])
def test_nothing_is_noted_about_a_run_whose_folder_is_a_link(
    tmp_path: Path, elsewhere: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    _, plan, store = make(tmp_path, ONE_CELL)
    folder = store.run(plan.runs[0].id)
    place = folder.path / part if part else folder.path
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a link"):
        failures.write(folder, "nan", "the loss is NaN")
    with pytest.raises(StoreError, match="is a link"):
        run_claims.record_found_held(folder, None)
    with pytest.raises((StoreError, ClaimLost), match="is a link"):
        run_claims.take(folder)
    assert [*elsewhere.iterdir()] == []


@pytest.mark.parametrize("what", ["checkpoint.pt", "snapshots", "claims/9.json", "tb"])
def test_a_run_with_a_link_in_it_is_not_executed(tmp_path: Path, precious: Path, what: str) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    store.write_recipe(run)
    store.check_run(run)
    path = store.run(run.id).path / what
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(precious)
    with pytest.raises(StoreError, match=f"{what}: is a link, and nothing in a store may be one"):
        store.check_run(run)


def test_a_log_that_was_linked_beforehand_is_not_written(tmp_path: Path, precious: Path) -> None:
    """Its name has a process number, of which a neighbour can link all."""
    log = tmp_path / "logs/local-812-1.log"
    log.parent.mkdir()
    log.symlink_to(precious)
    with pytest.raises(StoreError, match=r"local-812-1.log: is a link, and is not written"):
        open_log(log)
    assert last_lines(log, 10) == []
    assert precious.read_text() == PRECIOUS


def test_metrics_and_curves_are_not_written_through_links(
    tmp_path: Path, precious: Path, elsewhere: Path
) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = store.run(plan.runs[0].id)
    run.path.mkdir(parents=True)
    run.metrics.symlink_to(precious)
    with pytest.raises((StoreError, atomic_files.OddFile)):
        MetricsLog(run, False, True, 0, 1).write(1, {"loss": 1.0})
    run.metrics.unlink()
    run.tensorboard.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="tb: is a link"):
        MetricsLog(run, True, True, 0, 1)
    assert precious.read_text() == PRECIOUS
    assert [*elsewhere.iterdir()] == []


def test_the_name_of_an_event_file_cannot_be_told_beforehand(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    names = set()
    for run in plan.runs[:2]:
        log = MetricsLog(store.run(run.id), True, True, 0, 1)
        log.close()
        (file,) = store.run(run.id).tensorboard.iterdir()
        names.add(file.name.rpartition(".")[2])
    assert len(names) == 2
    assert all(len(name) == 16 for name in names)


@pytest.mark.parametrize("what", ["a file", "a folder", "the start", "all of it", "byte-code"])
def test_links_in_the_copy_of_the_code_are_replaced_by_the_code(
    tmp_path: Path, elsewhere: Path, what: str
) -> None:
    """With the same content as ours now, and with another later."""
    store = Store(tmp_path / "store")
    snapshot = take_snapshot(store).path
    path = {
        "a file": snapshot / "hpc_xfer/job.py",
        "a folder": snapshot / "hpc_xfer/store",
        "the start": snapshot / "__main__.py",
        "all of it": snapshot,
        "byte-code": snapshot / "hpc_xfer/__pycache__",
    }[what]
    target = elsewhere / "copy"
    path.rename(target)
    path.symlink_to(target)
    before = sorted(target.rglob("*"))
    assert take_snapshot(store).path == snapshot
    assert not path.is_symlink()
    assert not any(each.is_symlink() for each in snapshot.rglob("*"))
    assert sorted(target.rglob("*")) == before


def test_an_array_of_a_cache_that_is_a_link_is_left_out(tmp_path: Path, precious: Path) -> None:
    import numpy as np

    slot = CachedArray(tmp_path / "a", {"data": "x"}, (1, 2), np.dtype("u1"))
    slot.folder.mkdir()
    slot.path.symlink_to(precious)
    assert slot.open() is None
    file = slot.made(lambda: [np.zeros((1, 2), "u1")], lambda: None)
    assert file is not None
    assert not slot.path.is_symlink()
    assert precious.read_text() == PRECIOUS


def test_commands_refuse_a_store_with_a_link(tmp_path: Path, elsewhere: Path) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    prepare_store(study, plan, store)
    store.study("one").logs.rmdir()
    store.study("one").logs.symlink_to(elsewhere)
    call = [str(study.path), "--store", str(store.root)]
    for command in (launch.main, cancel.main):
        with pytest.raises(StoreError, match="logs: is a link, and nothing in a store may be one"):
            command(call)
    store.study("one").summary.symlink_to(elsewhere)
    for command in (collect.main, report.main):
        with pytest.raises(StoreError, match="summary: is a link, and nothing in a store may be"):
            command(call)
    assert [*elsewhere.iterdir()] == []
