"""The store: which runs are finished, and which folders and files it refuses."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from hpc_xfer.errors import StoreError
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack
from hpc_xfer.system import atomic_files
from tests.fabricated import ONE_CELL, make, record


def refusal(store: Store) -> str:
    with pytest.raises(StoreError) as caught:
        store.open()
    return str(caught.value).replace(str(store.root), "STORE")


def test_a_store_makes_its_folders_and_may_be_opened_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "a b/store")
    store.open()
    store.open()
    assert sorted(path.name for path in store.root.iterdir()) == ["runs", "studies"]


def test_a_store_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)
    everybody = (
        "everybody may write to this store, and so run code as you; run: chmod -R go-w STORE"
    )
    message = f"STORE: {everybody}"
    assert refusal(Store(tmp_path / "s")) == message
    (tmp_path / "s").chmod(0o775)
    Store(tmp_path / "s").open()
    (tmp_path / "s/runs").chmod(0o777)  # checkpoints lie there
    message = f"STORE/runs: {everybody}"
    assert refusal(Store(tmp_path / "s")) == message


@pytest.mark.parametrize(
    "trusted",
    ["code", "lock", "fingerprints", "cache", "cache/images", "studies/s", "studies/s/packs",
     "studies/s/logs"],
)  # fmt: skip
def test_a_folder_of_what_jobs_trust_is_refused_whoever_made_it(
    tmp_path: Path, trusted: str
) -> None:
    store = Store(tmp_path / "s")
    (store.root / trusted).mkdir(parents=True)
    store.open("s")
    (store.root / trusted).chmod(0o777)
    with pytest.raises(StoreError) as caught:
        store.open("s")
    path = store.root / trusted
    assert str(caught.value) == (
        f"{path}: everybody may write to this store, and so run code as you; run: chmod -R go-w "
        f"{store.root}"
    )
    path.chmod(0o755)
    store.open("s")


def test_all_that_must_be_mended_is_told_in_one_command(tmp_path: Path) -> None:
    store = Store(tmp_path / "a store")
    store.open("s")
    store.study("s").packs.chmod(0o777)
    store.study("s").plan.write_text("{}")
    store.study("s").plan.chmod(0o666)
    with pytest.raises(StoreError) as caught:
        store.open("s")
    subprocess.run(["bash", "-c", str(caught.value).partition("run: ")[2]], check=True)
    store.open("s")


def test_whatever_the_umask_nothing_is_made_that_everybody_may_write(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    before = os.umask(0)
    try:
        store = Store(tmp_path / "shared/s")
        store.open("s")
        store.write_recipe(plan.runs[0])
        atomic_files.append_line(store.study("s").launches, "{}")
        take_snapshot(store)
    finally:
        os.umask(before)
    found = list((tmp_path / "shared").rglob("*"))
    assert [path for path in found if path.stat().st_mode & 0o002] == []
    assert (tmp_path / "shared").stat().st_mode & 0o002 == 0


@pytest.mark.parametrize("harm", ["folder", "checkpoint", "parent"])
def test_a_run_that_everybody_could_write_is_not_executed(tmp_path: Path, harm: str) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    for each in (plan.runs[0], run):
        store.write_recipe(each)
    store.check_run(run)
    folder = store.run(run.parents[0].id if harm == "parent" else run.id)
    folder.checkpoint.write_bytes(b"")
    (folder.checkpoint if harm == "checkpoint" else folder.path).chmod(0o777)
    with pytest.raises(StoreError) as caught:
        store.check_run(run)
    assert str(caught.value) == (
        f"{folder.path}: everybody may write to this run; remove it if you do not trust what is "
        f"in it, or run: chmod -R go-w {folder.path}"
    )


def test_a_file_in_place_of_the_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    message = "STORE: the store cannot be made (Not a directory); choose another --store"
    assert refusal(Store(tmp_path / "s")) == message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.open()
    (store.root / "runs").chmod(0o500)
    assert refusal(store) == "STORE: the store cannot be written; choose another --store"


def test_a_fine_tuning_is_done_when_its_record_is_complete(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    assert not store.is_done(run)
    record(store, run)
    assert store.is_done(run)
    assert store.done(plan) == {run.id}


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_half_a_record_is_ignored(tmp_path: Path, keep: int) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    record(store, run)
    path = store.run(run.id).record
    path.write_bytes(path.read_bytes()[:keep])
    assert store.record(run.id) is None
    assert not store.is_done(run)


@pytest.mark.parametrize("content", ["null", "[]", "{}", '{"run": "ID"}', '{"metrics": {}}'])
def test_a_record_of_something_else_is_ignored(tmp_path: Path, content: str) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    path = store.run(run.id).record
    path.parent.mkdir(parents=True)
    path.write_text(content.replace("ID", run.id))
    assert not store.is_done(run)


def test_a_pre_training_without_its_encoder_is_not_done(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("pretrain")[0]
    record(store, run)
    assert not store.is_done(run)
    store.run(run.id).encoder.write_bytes(b"weights")
    assert store.is_done(run)


def test_a_recipe_is_written_once_and_a_different_one_is_refused(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    store.write_recipe(run)
    path = store.run(run.id).recipe
    before = path.stat().st_mtime_ns
    store.write_recipe(run)
    assert path.stat().st_mtime_ns == before
    content = json.loads(path.read_text())
    assert (content["parents"], content["recipe"]) == ([plan.runs[0].id], run.spec)
    path.write_text(path.read_text().replace('"lr": 0.0001', '"lr": 0.5'))
    with pytest.raises(StoreError) as caught:
        store.write_recipe(run)
    assert str(caught.value) == (
        f"{path}: holds another recipe than that of run {run.id}; move the folder of the run out "
        "of the store, then launch again"
    )


def test_half_a_recipe_is_written_again(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    path = store.run(plan.runs[0].id).recipe
    store.write_recipe(plan.runs[0])
    whole = path.read_text()
    path.write_text(whole[:40])
    store.write_recipe(plan.runs[0])
    assert path.read_text() == whole


def test_a_manifest_holds_all_that_a_worker_needs(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    batch = JobArray((Pack(plan.of("finetune"), 3.0, 1),))
    path = store.write_manifest("one", batch, {"threads": 1})
    assert path == tmp_path / f"store/studies/one/packs/{batch.id}.json"
    manifest = store.read_manifest("one", batch.id)
    assert manifest["packs"] == [[run.id for run in plan.of("finetune")]]
    assert manifest["resources"] == {"threads": 1}
    assert manifest["runs"] == {
        run.id: {"kind": run.kind, "recipe": run.spec, "parents": [p.id for p in run.parents]}
        for run in plan.runs
    }


def test_a_manifest_that_everybody_could_write_is_written_anew(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    batch = JobArray((Pack(plan.of("finetune"), 3.0, 1),))
    store.write_manifest("one", batch, {}).chmod(0o666)
    path = store.write_manifest("one", batch, {})
    assert path.stat().st_mode & 0o002 == 0


def test_half_a_manifest_is_refused(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    path = store.write_manifest("one", JobArray((Pack(plan.of("finetune"), 3.0, 1),)), {})
    path.write_text(path.read_text()[:100])
    with pytest.raises(StoreError) as caught:
        store.read_manifest("one", path.stem)
    assert str(caught.value) == f"{path}: is missing or damaged; launch the study again"


def test_a_new_store_is_private_to_its_owner_and_group(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep/store")
    store.open()
    assert store.root.stat().st_mode & 0o007 == 0


def test_a_store_that_was_moved_away_is_not_made_anew_by_a_job(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match="was moved or removed while this job worked"):
        store.check_exists()
