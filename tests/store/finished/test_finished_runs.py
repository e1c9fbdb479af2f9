"""The list of finished runs: what is on it is not read again, what has changed is."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, RunKind
from tests.fabricated import ONE_CELL, make, record_all

Look = tuple[set[str], list[str]]


def look(store: Store, plan: Plan, later: float = 3.0) -> Look:
    """Which runs are done, and which records were read to know it.

    Args:
        later: seconds since the folders changed.
    """
    read: list[str] = []

    def result(run_id: str, kind: RunKind) -> dict[str, Any] | None:
        read.append(run_id)
        return store.result(run_id, kind)

    finished = FinishedRuns.open(store, result, lambda folder: server_time(folder) + later)
    return finished.of(plan.runs), read


def finished_study(folder: Path) -> tuple[Plan, Store]:
    """A study whose runs are all done, and known to be."""
    _, plan, store = make(folder, ONE_CELL)
    record_all(store, plan.runs)
    for run in plan.of("pretrain"):
        store.run(run.id).encoder.touch()
    assert look(store, plan)[0] == {run.id for run in plan.runs}
    return plan, store


def test_a_record_that_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    assert look(store, plan) == ({run.id for run in plan.runs}, [])


def test_a_look_that_found_all_runs_serves_once_more_and_one_that_missed_a_run_does_not(
    tmp_path: Path,
) -> None:
    plan, store = finished_study(tmp_path)
    whole = store.finished_runs()
    whole.of(plan.runs)
    assert whole.if_all(plan.runs) is whole
    _remove_record(store, plan.runs[-1].id)
    part = store.finished_runs()
    part.of(plan.runs)
    assert part.if_all(plan.runs) is None
    assert part.if_all(plan.runs[:-1]) is part


def test_a_folder_that_changed_a_moment_ago_is_looked_at_once_more(tmp_path: Path) -> None:
    """It might change again within the same tick of the file server's clock."""
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.of("finetune"))
    for _ in range(2):
        done, read = look(store, plan, later=0.0)
        assert done == {*read} == {run.id for run in plan.of("finetune")}
    assert not store.finished.exists()


def _remove_folder(store: Store, run: str) -> None:
    shutil.rmtree(store.run(run).path)


def _remove_record(store: Store, run: str) -> None:
    store.run(run).record.unlink()


def _damage_record(store: Store, run: str) -> None:
    other = store.run(run).path / "copy"
    other.write_text("{}")
    os.replace(other, store.run(run).record)


def _write_over_record(store: Store, run: str) -> None:
    """As a copy does that goes on in place and sets the time of the original."""
    path = store.run(run).record
    before = path.stat()
    path.write_bytes(b" " * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "harm", [_remove_folder, _remove_record, _damage_record, _write_over_record]
)
def test_a_result_that_is_gone_is_noticed(
    tmp_path: Path, harm: Callable[[Store, str], None]
) -> None:
    plan, store = finished_study(tmp_path)
    gone = plan.runs[-1].id
    harm(store, gone)
    done, _ = look(store, plan)
    assert done == {run.id for run in plan.runs} - {gone}


def test_a_pre_training_without_its_encoder_is_not_done(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    parent = plan.of("pretrain")[0].id
    store.run(parent).encoder.unlink()
    assert parent not in look(store, plan)[0]


def test_a_folder_put_back_from_elsewhere_is_read_again(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    run = plan.runs[-1].id
    shutil.copytree(store.run(run).path, tmp_path / "copy")  # with its times
    shutil.rmtree(store.run(run).path)
    shutil.copytree(tmp_path / "copy", store.run(run).path)
    assert look(store, plan)[1] == [run]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"code": 1}', '{"code": "x", "pretrain": {}, "finetune": {}}', "cut"],
)
def test_an_odd_list_is_none(tmp_path: Path, content: str) -> None:
    plan, store = finished_study(tmp_path)
    whole = store.finished.read_bytes()
    store.finished.write_bytes(whole[:-9] if content == "cut" else content.encode())
    done, read = look(store, plan)
    assert (len(done), len(read)) == (len(plan.runs), len(plan.runs))
    assert store.finished.read_bytes() == whole


def test_a_list_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    told = json.loads(store.finished.read_text())
    gone = plan.runs[-1].id
    store.run(gone).record.unlink()
    found = os.stat(store.run(gone).path)
    told["finetune"][gone][0] = f"{found.st_ino:x}.{found.st_ctime_ns:x}"
    store.finished.write_text(json.dumps(told))
    store.finished.chmod(0o666)
    assert gone not in look(store, plan)[0]


def test_what_others_keep_elsewhere_is_not_written_through(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    target = tmp_path / "theirs"
    target.write_text("theirs")
    store.finished.unlink()
    store.finished.symlink_to(target)
    assert len(look(store, plan)[0]) == len(plan.runs)
    assert target.read_text() == "theirs"


def test_a_study_keeps_what_is_known_of_others(tmp_path: Path) -> None:
    plan, store = finished_study(tmp_path)
    (tmp_path / "b").mkdir()
    _, other, _ = make(tmp_path / "b", ONE_CELL.replace("draws: 1", "draws: 2"))
    record_all(store, other.of("finetune"))
    look(store, other)
    assert look(store, plan)[1] == []
