"""Folders and files that others may write to: refused, unless the site trusts the members."""

import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer import cancel, collect, job, launch, relay, report, status, worker
from hpc_xfer.compute.downstream.cached_array import CachedArray
from hpc_xfer.config.site import load_site
from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack
from hpc_xfer.system.permissions import other_writer
from tests.fabricated import ONE_CELL, make, record_all
from tests.security.conftest import Neighbor

# umask 0 and strangers' default access lists included, nobody else can write to what we make.
WRITABLE = """
import os
for folder, folders, files in os.walk({root!r}):
    for name in (*folders, *files):
        if os.access(os.path.join(folder, name), os.W_OK):
            print(os.path.join(folder, name))
    if os.access(folder, os.W_OK):
        print(folder)
"""


def old_store(folder: Path, group: int) -> Store:
    """A store as versions before made it in a lab: umask 002, and a folder of mode 2775."""
    study, plan, _ = make(folder, ONE_CELL)
    store = Store(folder / "old store")
    prepare_store(study, plan, store)
    store.write_recipe(plan.runs[0])
    for path in (store.root, *store.root.rglob("*")):
        if not path.is_symlink():
            os.chown(path, -1, group)
            path.chmod(path.stat().st_mode | 0o020)
    return store


def access_list(path: Path, kind: str, group: int) -> None:
    """Let a group write, as `setfacl -m g:GROUP:rwx` does."""
    none = 0xFFFFFFFF
    entries = [(0x01, 7, none), (0x04, 5, none), (0x08, 7, group), (0x10, 7, none), (0x20, 5, none)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, f"system.posix_acl_{kind}", data)
    except OSError as error:
        pytest.skip(f"this file system has no access lists ({error.strerror})")


def test_a_store_of_a_group_is_refused_with_a_way_out_that_works(
    neighbor: Neighbor, lab: Path
) -> None:
    store = old_store(lab, neighbor.group)
    with pytest.raises(StoreError) as caught:
        store.open("one")
    message = str(caught.value)
    assert message == (
        f"{store.root}: group {neighbor.group} may write to this store, and so run code as you; "
        f"run: chmod -R go-w '{store.root}' (or set trust_store_members: true in the site file)"
    )
    command = message.partition("run: ")[2].partition(" (or")[0]
    subprocess.run(["bash", "-c", command], check=True)
    store.open("one")
    take_snapshot(store)


@pytest.mark.parametrize(
    "name",
    ["runs", "studies", "studies/one", "studies/one/logs", "studies/one/packs",
     "studies/one/launches.jsonl", "studies/one/grid.yaml", "studies/one/plan.json", "code",
     "studies/other", "studies/other/launches.jsonl", "lock", "lock/1.json", "cache",
     "cache/images", "cache/features", "fingerprints", "fingerprints/first",
     "fingerprints/first/digits.json", "studies/one/imported/a.csv"],
)  # fmt: skip
def test_each_folder_and_file_that_is_trusted_is_checked(
    neighbor: Neighbor, lab: Path, name: str
) -> None:
    store = Store(lab / "store")
    store.open("one")
    path = store.root / name
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.mkdir(parents=True, exist_ok=True)
    for folder in path.relative_to(store.root).parents:
        (store.root / folder).chmod(0o755)
    os.chown(path, -1, neighbor.group)
    path.chmod(0o775)
    with pytest.raises(StoreError, match=f"{name}: group {neighbor.group} may write"):
        store.open("one")
    os.chown(path, neighbor.uid, -1)
    path.chmod(0o755)
    with pytest.raises(StoreError, match=f"{name}: user {neighbor.uid} may write"):
        store.open("one")
    Store(store.root, trusts_members=True).open("one")
    path.chmod(0o757)
    with pytest.raises(StoreError, match=f"{name}: everybody may write"):
        Store(store.root, trusts_members=True).open("one")


def test_a_store_of_somebody_else_is_refused_and_a_chmod_is_not_advised(
    neighbor: Neighbor, lab: Path
) -> None:
    store = Store(lab / "store")
    store.open()
    os.chown(store.root, neighbor.uid, -1)
    with pytest.raises(StoreError) as caught:
        store.open()
    assert str(caught.value) == (
        f"{store.root}: user {neighbor.uid} may write to this store, and so run code as you; use a "
        "--store of your own, or, to share this one, set trust_store_members: true in the site file"
    )


def test_a_group_of_ones_own_is_nobody_else(tmp_path: Path) -> None:
    """As on Debian and Red Hat, where a umask of 002 is the default."""
    store = Store(tmp_path / "store")
    store.open()
    if other_writer(os.stat(tmp_path)) is not None:
        pytest.skip("the group of this user is no private one")
    for path in (store.root, *store.root.rglob("*")):
        path.chmod(0o775)
    store.open()


def test_an_access_list_counts(neighbor: Neighbor, lab: Path) -> None:
    store = Store(lab / "store")
    store.open()
    os.chown(store.runs, -1, 0)
    access_list(store.runs, "access", neighbor.group)
    with pytest.raises(StoreError, match=f"runs: group {neighbor.group} may write"):
        store.open()


def test_below_a_default_access_list_nothing_is_made_that_a_group_may_write(
    neighbor: Neighbor, lab: Path
) -> None:
    """It takes the place of the umask."""
    access_list(lab, "default", neighbor.group)
    study, plan, _ = make(lab, ONE_CELL)
    store = Store(lab / "store")
    prepare_store(study, plan, store)
    store.write_recipe(plan.runs[0])
    prepare_store(study, plan, store)
    store.check_run(plan.runs[0])
    assert neighbor.python(WRITABLE.format(root=str(store.root))) == ""


@pytest.mark.parametrize("harm", ["folder", "checkpoint.pt", "claims", "claims/1.json", "parent"])
def test_a_run_that_a_member_could_change_is_not_executed(
    neighbor: Neighbor, lab: Path, harm: str
) -> None:
    _, plan, _ = make(lab, ONE_CELL)
    store, run = Store(lab / "store"), plan.of("finetune")[0]
    for each in (plan.runs[0], run):
        store.write_recipe(each)
        (store.run(each.id).claims).mkdir()
    store.check_run(run)
    folder = store.run(run.parents[0].id if harm == "parent" else run.id).path
    path = folder if harm in ("folder", "parent") else folder / harm
    if path.suffix:
        path.touch()
    os.chown(path, neighbor.uid, -1)
    with pytest.raises(StoreError) as caught:
        store.check_run(run)
    assert str(caught.value).startswith(f"{folder}: user {neighbor.uid} may write to this run;")
    assert len(str(caught.value)) < 300 + 2 * len(str(folder))
    Store(store.root, trusts_members=True).check_run(run)


def test_a_manifest_that_a_member_wrote_is_no_work_for_a_job(neighbor: Neighbor, lab: Path) -> None:
    _, plan, _ = make(lab, ONE_CELL)
    store = Store(lab / "store")
    array = JobArray((Pack(plan.of("finetune"), 3.0, 1),))
    path = store.write_manifest("one", array, {})
    os.chown(path, neighbor.uid, -1)
    with pytest.raises(StoreError, match=f"user {neighbor.uid} may write"):
        store.read_manifest("one", array.id)
    store.write_manifest("one", array, {})
    store.read_manifest("one", array.id)


def test_an_array_that_a_member_could_write_is_left_out(neighbor: Neighbor, lab: Path) -> None:
    """Its checksums are in the file, for whoever writes it."""
    slot = CachedArray(lab / "a", {"data": "x"}, (1, 2), np.dtype("u1"))
    assert slot.made(lambda: [np.zeros((1, 2), "u1")], lambda: None) is not None
    os.chown(slot.path, neighbor.uid, -1)
    assert slot.open() is None
    shared = CachedArray(slot.folder, slot.what, slot.shape, slot.dtype, trusts_members=True)
    assert shared.open() is not None


def test_code_of_a_member_in_the_copy_of_the_code_is_written_anew(
    neighbor: Neighbor, lab: Path
) -> None:
    """It is the same today; its owner can change it tomorrow."""
    store = Store(lab / "store")
    path = take_snapshot(store).path / "hpc_xfer/job.py"
    os.chown(path, neighbor.uid, -1)
    take_snapshot(store)
    assert path.stat().st_uid == os.geteuid()
    os.chown(path, neighbor.uid, -1)
    take_snapshot(Store(store.root, trusts_members=True))  # whose code we run too
    assert path.stat().st_uid == neighbor.uid


def test_every_command_that_starts_or_does_work_refuses(neighbor: Neighbor, lab: Path) -> None:
    store = old_store(lab, neighbor.group)
    place = ["--store", str(store.root)]
    grid = str(lab / "grid.yaml")
    for command, call in (
        (launch, [grid, *place, "--on", "local"]),
        (cancel, [grid, *place]),
        (relay, [*place, "--study", "one"]),
    ):
        with pytest.raises(StoreError, match=f"group {neighbor.group} may write"):
            command.main(call)
    assert job.main([*place, "--study", "one", "--batch", "c0ffee12ab34"]) == 1
    assert worker.main([*place, "--study", "one", "--pack", "c0ffee12ab34/0"]) == 1
    assert not store.study("one").cancelled.exists()


def test_commands_that_read_take_the_store_of_a_colleague(
    neighbor: Neighbor, lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = old_store(lab, neighbor.group)
    study, plan, _ = make(lab, ONE_CELL)
    record_all(store, plan.runs)
    call = [str(study.path), "--store", str(store.root)]
    out = ["--out", str(tmp_path / "out")]
    for module, more in ((status, []), (collect, out), (collect, []), (report, [])):
        assert module.main([*call, *more]) in (0, 1)
    assert "may write" not in capsys.readouterr().err


def test_a_site_file_that_a_group_may_write_is_refused_whoever_owns_it(
    neighbor: Neighbor, lab: Path
) -> None:
    path = lab / "site.yaml"
    path.write_text("slurm: {setup: [module load cuda]}\n")
    os.chown(path, neighbor.uid, neighbor.group)
    path.chmod(0o644)
    assert load_site(path).slurm.setup == ("module load cuda",)
    for mode, who in ((0o664, f"group {neighbor.group}"), (0o646, "everybody")):
        path.chmod(mode)
        with pytest.raises(StudyError) as caught:
            load_site(path)
        assert str(caught.value) == (
            f"{path}: {who} may write to it, and its `setup` lines run as you; run: chmod go-w "
            f"{path}, or use a copy of your own"
        )
