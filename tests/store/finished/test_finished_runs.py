"""The list of finished runs: what is on it is not read again, what has changed is."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, RunKind
from tests.fabricated import ONE_CELL, make, record_all

LONG_AGO = 3.0  # seconds by which the clock that looks is ahead: folders have settled


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at folders as if seconds had passed since they changed."""
    from hpc_xfer.store.finished import finished_runs
    from hpc_xfer.store.ownership.server_clock import server_time

    monkeypatch.setattr(finished_runs, "server_time", lambda folder: server_time(folder) + LONG_AGO)


class CountingStore(Store):
    """A store that counts the records that are read."""

    def result(self, run_id: str, kind: RunKind) -> dict[str, Any] | None:
        self.__dict__.setdefault("read", []).append(run_id)
        return super().result(run_id, kind)


def finished_study(folder: Path) -> tuple[Plan, CountingStore]:
    """A study whose runs are all done, and known to be."""
    _, plan, store = make(folder, ONE_CELL)
    record_all(store, plan.runs)
    for run in plan.of("pretrain"):
        store.run(run.id).encoder.touch()
    counting = CountingStore(store.root)
    assert counting.done(plan) == {run.id for run in plan.runs}
    return plan, counting


def read_by(store: CountingStore, plan: Plan) -> tuple[set[str], list[str]]:
    """Which runs are done, and which records were read to know it."""
    store.__dict__["read"] = []
    return store.done(plan), store.__dict__["read"]


@pytest.mark.usefixtures("settled")
def test_a_record_that_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    assert read_by(store, plan) == ({run.id for run in plan.runs}, [])


def test_a_folder_that_changed_a_moment_ago_is_looked_at_once_more(tmp_path: Path) -> None:
    """It might change again within the same tick of the file server's clock."""
    plan, store = finished_study(tmp_path)
    assert len(read_by(store, plan)[1]) == len(plan.runs)
    assert not store.finished.exists()


def _remove_folder(store: Store, run: str) -> None:
    shutil.rmtree(store.run(run).path)


def _remove_record(store: Store, run: str) -> None:
    store.run(run).record.unlink()


def _damage_record(store: Store, run: str) -> None:
    other = store.run(run).path / "copy"
    other.write_text("{}")
    os.replace(other, store.run(run).record)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("harm", [_remove_folder, _remove_record, _damage_record])
def test_a_result_that_is_gone_is_noticed(
    tmp_path: Path, harm: Callable[[Store, str], None]
) -> None:
    plan, store = finished_study(tmp_path)
    gone = plan.runs[-1].id
    harm(store, gone)
    done, _ = read_by(store, plan)
    assert done == {run.id for run in plan.runs} - {gone}


@pytest.mark.usefixtures("settled")
def test_a_pre_training_without_its_encoder_is_not_done(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    parent = plan.of("pretrain")[0].id
    store.run(parent).encoder.unlink()
    assert parent not in store.done(plan)


@pytest.mark.usefixtures("settled")
def test_a_folder_put_back_from_elsewhere_is_read_again(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    run = plan.runs[-1].id
    shutil.copytree(store.run(run).path, tmp_path / "copy")  # with its times
    shutil.rmtree(store.run(run).path)
    shutil.copytree(tmp_path / "copy", store.run(run).path)
    assert read_by(store, plan)[1] == [run]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"code": 1}', '{"code": "x", "pretrain": {}, "finetune": {}}', "cut"],
)
def test_an_odd_list_is_none(tmp_path: Path, content: str) -> None:
    plan, store = finished_study(tmp_path)
    whole = store.finished.read_bytes()
    store.finished.write_bytes(whole[:-9] if content == "cut" else content.encode())
    done, read = read_by(store, plan)
    assert (len(done), len(read)) == (len(plan.runs), len(plan.runs))
    assert store.finished.read_bytes() == whole


@pytest.mark.usefixtures("settled")
def test_a_list_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    told = json.loads(store.finished.read_text())
    gone = plan.runs[-1].id
    store.run(gone).record.unlink()
    found = os.stat(store.run(gone).path)
    told["finetune"][gone][0] = f"{found.st_ino:x}.{found.st_ctime_ns:x}"
    store.finished.write_text(json.dumps(told))
    store.finished.chmod(0o666)
    assert gone not in store.done(plan)


@pytest.mark.usefixtures("settled")
def test_what_others_keep_elsewhere_is_not_written_through(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    target = tmp_path / "theirs"
    target.write_text("theirs")
    store.finished.unlink()
    store.finished.symlink_to(target)
    assert len(store.done(plan)) == len(plan.runs)
    assert target.read_text() == "theirs"


@pytest.mark.usefixtures("settled")
def test_a_study_keeps_what_is_known_of_others(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    (tmp_path / "b").mkdir()
    _, other, _ = make(tmp_path / "b", ONE_CELL.replace("draws: 1", "draws: 2"))
    record_all(store, other.of("finetune"))
    store.done(other)
    assert read_by(store, plan)[1] == []
