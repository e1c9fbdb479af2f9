"""Stores of rehearsals stand beside the store; the newest is found again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.store.launched_study import load_in_store, prepare_store
from hpc_xfer.store.rehearsal_store import (
    NewRehearsals,
    load_last_rehearsal,
    rehearsal_stores,
)
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.study_file import Study


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with monkeypatch.context() as patch:
        yield patch
    time.tzset()


def test_the_newest_store_is_found_in_any_time_zone(
    tmp_path: Path, zone: pytest.MonkeyPatch
) -> None:
    """The clock of a login node goes back in autumn, and another login node may use UTC."""
    store = Store(tmp_path / "store")
    for where in ("EAST-14", "WEST+12"):  # the second clock shows 26 hours less
        zone.setenv("TZ", where)
        time.tzset()
        made = NewRehearsals().make(store)
        made.open()
    assert rehearsal_stores(store)[-1] == made.root


def test_two_launches_of_one_second_have_a_store_each(tmp_path: Path) -> None:
    """`launch a.yaml b.yaml --rehearse` makes two, and so do two windows."""
    store = Store(tmp_path / "store")
    made = {NewRehearsals().make(store).root for _ in range(3)}
    assert len(made) == 3 and sorted(made) == rehearsal_stores(store)


def test_a_store_in_which_nothing_was_launched_is_removed_at_the_end(tmp_path: Path) -> None:
    """Stand-ins of a dry run, and of a launch that was refused."""
    store = Store(tmp_path / "store")
    with NewRehearsals() as rehearsals:
        used, unused = rehearsals.make(store), rehearsals.make(store)
        (unused.root / "stand_ins").mkdir()
        used.open("study")
    assert rehearsal_stores(store) == [used.root]


def rehearsed(name: str, store: Store) -> Study:
    """A study, after a rehearsal of it beside the store."""
    grid = store.root.parent / f"{name}.yaml"
    grid.write_text(f"name: {name}\npretrain: [{{method: scratch, arch: RN50}}]\n")
    study = load_in_store(grid, store)
    short = rehearsal_of(study)
    prepare_store(short, make_plan(short), NewRehearsals().make(store))
    return study


@pytest.mark.parametrize("name", ["store", "my store", "store[1]", "st*re"])
def test_the_last_rehearsal_is_that_of_the_study(tmp_path: Path, name: str) -> None:
    """Others were rehearsed after it, or never; and the store may have any name."""
    store = Store(tmp_path / name)
    first = rehearsed("first", store)
    rehearsed("second", store)
    NewRehearsals().make(store)  # of a launch that was killed
    found, where = load_last_rehearsal(first, store)
    assert found.name == "first-rehearsal" and where.root == rehearsal_stores(store)[0]
    never = load_in_store(first.path, store, ["name=third"])
    with pytest.raises(StudyError, match="no rehearsal of 'third' beside it"):
        load_last_rehearsal(never, store)
