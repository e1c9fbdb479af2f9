"""Files and folders that a member of a store keeps to himself (umask 077): each stops no study."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpc_xfer.store.ownership import run_claims
from hpc_xfer.system import set_aside
from tests.conftest import Command
from tests.security import launched_store
from tests.security.conftest import Neighbor
from tests.security.launched_store import LaunchedStore


@pytest.fixture
def study(
    common: Path, command: Command, monkeypatch: pytest.MonkeyPatch, neighbor: Neighbor
) -> LaunchedStore:
    """A store of the second user, which he shares with us."""
    monkeypatch.setenv("HPC_XFER_SLURM_PATIENCE", "0")
    for name in launched_store.SLURM:
        command(name, "true")
    made = launched_store.make(common / "study")
    (made.folder / "site.yaml").write_text("{trust_store_members: true}\n")
    other = made.store.study("other")
    other.path.mkdir()
    other.plan.write_bytes(made.files["plan"].read_bytes())
    made.call_all()  # imports what is imported late, from folders that he may not read
    for path in (made.folder, *made.folder.rglob("*")):
        os.chown(path, neighbor.uid, neighbor.uid, follow_symlinks=False)
    return made


@contextlib.contextmanager
def acting_as(user: Neighbor) -> Iterator[None]:
    """Act as the second user, to whom closed files of root are those of somebody else."""
    os.setegid(user.uid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def close(path: Path) -> None:
    os.chown(path, 0, 0)
    path.chmod(0o700 if path.is_dir() else 0o600)


CLOSED: dict[str, Callable[[LaunchedStore], Path]] = {
    "a record": lambda made: made.files["record"],
    "an error": lambda made: made.files["error"],
    "a claim": lambda made: made.files["claim"],
    "a heartbeat": lambda made: made.files["progress"],
    "a manifest": lambda made: made.files["manifest"],
    "the folder of a pre-training": lambda made: made.store.run(made.runs[0]).path,
    "the folder of a fine-tuning": lambda made: made.store.run(made.runs[1]).path,
    "the folder of another study": lambda made: made.store.study("other").path,
    "the plan of another study": lambda made: made.store.study("other").plan,
}


@pytest.mark.parametrize("what", CLOSED)
def test_a_closed_file_stops_no_command(
    study: LaunchedStore, what: str, neighbor: Neighbor
) -> None:
    path = CLOSED[what](study)
    close(path)
    with acting_as(neighbor):
        shown = study.call_all()
    if path.is_file() and "another study" not in what:  # which Slurm must answer to look at
        assert f"{path}: cannot be read (Permission denied)" in shown


def test_a_closed_claim_that_was_renewed_lately_is_not_taken(
    study: LaunchedStore, neighbor: Neighbor
) -> None:
    """Its process may live: it counts as that of another host."""
    run, claim = study.store.run(study.runs[2]), study.files["claim"]
    close(claim)
    with acting_as(neighbor):
        assert run_claims.sign_of_life(run) == "heartbeat"
        assert run_claims.take(run) is None
        long_ago = claim.stat().st_mtime - 2 * run_claims.LEASE_SECONDS
    for path in (claim, run.progress):
        os.utime(path, (long_ago, long_ago))
    with acting_as(neighbor):
        assert run_claims.sign_of_life(run) is None
        assert run_claims.take(run) is not None
    set_aside.take()


@pytest.mark.parametrize("folder", ["/x" * 3_000, "/x" + "y" * 300, "/etc/passwd"])
def test_a_claim_that_names_no_folder_stops_no_command(study: LaunchedStore, folder: str) -> None:
    claim = study.files["claim"]
    claim.write_text(json.dumps(json.loads(claim.read_text()) | {"folder": folder}))
    study.call_all()
    assert run_claims.sign_of_life(study.store.run(study.runs[2])) == "process"
