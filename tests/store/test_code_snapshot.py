"""Jobs run the code of their launch: a copy in the store, whatever the checkout is by then."""

import json
import marshal
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.store.code_snapshot import current_digest, snapshot_in, take_snapshot
from hpc_xfer.store.store import Store
from tests.conftest import ROOT

TAKE = """
import json, sys
from pathlib import Path
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.store import Store
from hpc_xfer.system import provenance
snapshot = take_snapshot(Store(Path(sys.argv[1])))
print(json.dumps({"path": str(snapshot.path), "code": provenance.code()}))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a store")


def copy_of_the_package(folder: Path) -> Path:
    """As `pip install` puts it: without its checkout, its tests and its git."""
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hpc_xfer", folder / "hpc_xfer", ignore=without)
    return folder


def taken_by(folder: Path, store: Store, start: list[str] | None = None) -> dict:
    """What a launch tells that finds the package in a folder."""
    call = [sys.executable, *(start or ["-c", TAKE]), str(store.root)]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(call, env=env, cwd=store.root.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def content(folder: Path) -> dict[str, bytes]:
    """All files, but for the byte-code that Python writes when it starts the folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent != folder / "__pycache__"
    }


def test_a_snapshot_holds_the_package_and_its_data_files(store: Store) -> None:
    snapshot = take_snapshot(store)
    assert snapshot == snapshot_in(store) and snapshot.digest == current_digest()
    assert snapshot.path == store.root / "code" / snapshot.digest
    for name in ("job.py", "py.typed", "config/dataset_cards/dtd.yaml"):
        assert (snapshot.path / "hpc_xfer" / name).read_bytes() == (
            ROOT / "hpc_xfer" / name
        ).read_bytes()
    assert [*(snapshot.path / "hpc_xfer/reporting/templates").iterdir()]


def test_launches_of_the_same_code_share_one(store: Store) -> None:
    first = take_snapshot(store).path
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    assert take_snapshot(store).path == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert [path.name for path in store.code.iterdir()] == [first.name]


def test_two_launches_at_the_same_moment_write_one(store: Store) -> None:
    store.root.mkdir()
    call = [sys.executable, "-c", TAKE, str(store.root)]
    both = [subprocess.Popen(call, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    paths = {json.loads(each.communicate()[0])["path"] for each in both}
    assert [each.returncode for each in both] == [0, 0, 0]
    assert [str(path) for path in store.code.iterdir()] == [*paths]


def test_a_job_runs_it_from_any_folder_and_compiles_nothing(store: Store, tmp_path: Path) -> None:
    snapshot = take_snapshot(store)
    before = content(snapshot.path)
    other = tmp_path / "checkout"
    (other / "hpc_xfer").mkdir(parents=True)
    (other / "hpc_xfer/__init__.py").write_text("raise SystemExit('the wrong code')")
    for name in ("job", "worker", "relay"):
        env = {**os.environ, "PYTHONPATH": str(other)}
        call = [*snapshot.command(name), "--help"]
        done = subprocess.run(call, cwd=other, env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    after = content(snapshot.path)
    assert {name for name in after if name not in before} <= {
        f"__pycache__/__main__.{sys.implementation.cache_tag}.pyc"
    }
    assert {name: after[name] for name in before} == before


def test_its_files_are_read_only_and_its_owner_can_remove_it(store: Store) -> None:
    snapshot = take_snapshot(store)
    for path in snapshot.path.rglob("*"):
        most = 0o755 if path.is_dir() else 0o444
        assert stat.S_IMODE(path.stat().st_mode) & ~most == 0, path
    subprocess.run(["rm", "-rf", str(snapshot.path)], check=True)
    assert take_snapshot(store).path.exists()


@pytest.mark.parametrize(
    "harm",
    ["changed", "cut", "gone", "added", "writable", "no start", "byte-code cut", "open",
     "byte-code open", "byte-code of another Python open", "a library beside it", "origin open"],
)  # fmt: skip
def test_a_damaged_snapshot_is_written_anew(store: Store, harm: str) -> None:
    path = take_snapshot(store).path
    before = content(path)
    victim = path / "hpc_xfer/job.py"
    victim.chmod(0o644)
    cached = path / f"hpc_xfer/__pycache__/job.{sys.implementation.cache_tag}.pyc"
    match harm:
        case "changed":
            victim.write_text(victim.read_text().replace("return", "retrun", 1))
        case "cut":
            victim.write_text("")
        case "gone":
            victim.unlink()
        case "added":
            (path / "hpc_xfer/json.py").write_text("raise SystemExit('mine')")
        case "writable":
            victim.chmod(0o666)
        case "no start":
            (path / "__main__.py").unlink()
        case "byte-code cut":
            cached.chmod(0o644)
            cached.write_bytes(cached.read_bytes()[:-40])
        case "open":
            (path / "hpc_xfer/store").chmod(0o777)
        case "byte-code open":
            cached.chmod(0o666)
            cached.write_bytes(cached.read_bytes()[:16] + marshal.dumps(compile("1", "x", "exec")))
        case "byte-code of another Python open":
            other = cached.with_name("job.cpython-27.pyc")
            other.touch()
            other.chmod(0o666)
        case "a library beside it":
            (path / "numpy").mkdir()
            (path / "sitecustomize.py").write_text("raise SystemExit('mine')")
        case "origin open":
            (path / "code.json").chmod(0o666)
    assert take_snapshot(store).path == path
    assert content(path) == before
    assert not any(each.stat().st_mode & 0o002 for each in path.rglob("*"))


def test_what_a_killed_launch_left_is_removed_after_a_day(store: Store) -> None:
    left = store.code / ".c0ffee.1.2.tmp"
    (left / "hpc_xfer").mkdir(parents=True)
    os.utime(left, (0, 0))
    (store.code / ".c0ffee.3.4.tmp").mkdir()  # of a launch that may be at work
    digest = take_snapshot(store).digest
    assert sorted(path.name for path in store.code.iterdir()) == [".c0ffee.3.4.tmp", digest]


def test_other_code_stands_beside_it(store: Store, tmp_path: Path) -> None:
    store.root.mkdir()
    checkout = copy_of_the_package(tmp_path / "checkout")
    first = taken_by(checkout, store)
    append(checkout / "hpc_xfer/errors.py", "# changed\n")
    second = taken_by(checkout, store)
    names = sorted(path.name for path in store.code.iterdir())
    assert names == sorted(each["code"]["digest"] for each in (first, second))
    assert len(names) == 2
    assert "# changed" not in (Path(first["path"]) / "hpc_xfer/errors.py").read_text()


def test_a_plain_install_has_a_digest_and_no_commit(store: Store, tmp_path: Path) -> None:
    """Also where its folder lies in the checkout of something else."""
    store.root.mkdir()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty"]
    subprocess.run(["git", "-C", str(tmp_path), *commit], check=True)
    installed = copy_of_the_package(tmp_path / ".venv/lib/python3/site-packages")
    code = taken_by(installed, store)["code"]
    assert (code["commit"], code["dirty"]) == (None, None)
    assert code["digest"] == current_digest()


def test_code_that_runs_from_a_snapshot_tells_its_launch_and_uses_the_same(store: Store) -> None:
    """So does a relay, for all that it submits."""
    store.root.mkdir()
    launch = taken_by(ROOT, store)
    (store.root.parent / "take.py").write_text(TAKE)
    start = [launch["path"], "take"]
    relay = taken_by(store.root.parent, store, start)
    assert relay == launch
    other = Store(store.root.parent / "other")
    other.root.mkdir()
    copied = taken_by(store.root.parent, other, start)
    assert copied["code"] == launch["code"]
    assert content(Path(copied["path"])).keys() == content(Path(launch["path"])).keys()


def test_a_snapshot_that_was_changed_submits_nothing(store: Store) -> None:
    path = take_snapshot(store).path
    victim = path / "hpc_xfer/errors.py"
    victim.chmod(0o644)
    append(victim, "# changed\n")
    (store.root / "take.py").write_text(TAKE)
    call = [sys.executable, str(path), "take", str(store.root)]
    env = {**os.environ, "PYTHONPATH": str(store.root)}
    done = subprocess.run(call, env=env, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith(
        f"{path}: this copy of the code was changed after its launch; launch the study again, "
        "which writes it anew"
    )


def test_a_clean_commit_is_told_rather_than_a_dirty_one(store: Store, tmp_path: Path) -> None:
    checkout = copy_of_the_package(tmp_path / "checkout")
    store.root.mkdir()
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b"]
    (checkout / "notes").write_text("")
    for call in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *call], check=True)
    (checkout / "notes").write_text("changed")
    assert taken_by(checkout, store)["code"]["dirty"] is True
    subprocess.run([*git, "commit", "-qam", "y"], check=True)
    told = taken_by(checkout, store)
    assert told["code"]["dirty"] is False
    assert json.loads((Path(told["path"]) / "code.json").read_text()) == told["code"]
