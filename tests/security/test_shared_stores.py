"""Stores that a lab shares: told once, written as the site says; folders above are told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer import launch
from hpc_xfer.store.access.notes import notes_on_folders, shared_sentence, told_once
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.store import Store
from tests.conftest import ROOT
from tests.fabricated import ONE_CELL, make
from tests.security.conftest import Neighbor
from tests.security.test_permissions import WRITABLE, old_store

KEY = "trust_store_members: true\n"


SMALL = """
name: one
pretrain: [{method: scratch, arch: RN50}]
finetune: {datasets: [digits], shots: [1], draws: 1, tune: {lr: [1e-4, 1e-3]}}
"""


def test_members_that_are_trusted_are_told_once(neighbor: Neighbor, lab: Path) -> None:
    store = Store(old_store(lab, neighbor.group).root, trusts_members=True)
    store.open("one")
    sentence = shared_sentence(store)
    assert sentence == (
        f"{store.root}: trust_store_members is set: members of group {neighbor.group} can run code "
        "as each other through this store, and change results"
    )
    assert [*told_once(store)] == [sentence]
    assert [*told_once(store)] == []
    assert [*told_once(Store(store.root))] == []


def test_a_launch_into_a_shared_store_says_so_the_first_time(neighbor: Neighbor, lab: Path) -> None:
    study, _, store = make(lab, SMALL)
    shared = lab / "site.yaml"
    shared.write_text(KEY)
    call = [sys.executable, "-m", "hpc_xfer.launch", str(study.path), "--store", str(store.root)]
    call += ["--site", str(shared), "--by-hand"]
    done = [subprocess.run(call, cwd=ROOT, capture_output=True, text=True) for _ in range(2)]
    told = ["can run code as each other" in each.stderr for each in done]
    assert told == [True, False], done


@pytest.mark.parametrize("shared", [False, True])
def test_new_files_are_for_the_group_only_where_the_site_says_so(
    neighbor: Neighbor, lab: Path, shared: bool
) -> None:
    """The umask of the user says the same in both cases."""
    study, _, store = make(lab, SMALL)
    own_site = lab / "site.yaml"
    own_site.write_text(KEY if shared else "slurm: {}\n")
    call = [sys.executable, "-m", "hpc_xfer.launch", str(study.path), "--store", str(store.root)]
    call += ["--site", str(own_site), "--by-hand"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, umask=0o002)
    assert done.returncode == 0, done.stderr
    found = neighbor.python(WRITABLE.format(root=str(store.root))).splitlines()
    expected = {str(store.root), str(store.runs), str(store.study("one").plan)} if shared else set()
    assert set(found) >= expected
    assert shared or found == []


def test_folders_above_are_told_and_not_refused(neighbor: Neighbor, lab: Path) -> None:
    store = Store(lab / "mine/store")
    store.root.parent.mkdir(mode=0o755)
    store.open()
    (note,) = notes_on_folders(store, None)
    assert note == (
        f"note: group {neighbor.group} may write to {lab}, and so put something else in place of "
        "the store; move it if you do not trust that"
    )
    assert [*notes_on_folders(Store(store.root, trusts_members=True), None)] == []
    lab.chmod(0o1777)  # as /tmp: nobody renames what is another's
    assert [*notes_on_folders(store, lab / "site.yaml")] == []
    lab.chmod(0o777)
    trusting = Store(store.root, trusts_members=True)
    notes = [*notes_on_folders(trusting, lab / "site.yaml")]
    assert [note.partition(" may")[0] for note in notes] == ["note: everybody"] * 2


def test_a_plan_that_is_only_shown_tells_of_folders_above(
    neighbor: Neighbor, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, _, store = make(lab, SMALL)
    call = [str(study.path), "--store", str(store.root), "--on", "local"]
    assert launch.main([*call, "--dry-run", "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("in place of the store" in note for note in notes)
    assert not store.root.exists()


def test_a_neighbor_who_may_write_beside_a_store_cannot_write_in_it(
    neighbor: Neighbor, lab: Path
) -> None:
    study, plan, store = make(lab, ONE_CELL)
    before = os.umask(0)
    try:
        prepare_store(study, plan, store)
        store.write_recipe(plan.runs[0])
        take_snapshot(store)
    finally:
        os.umask(before)
    assert neighbor.python(WRITABLE.format(root=str(store.root))) == ""
