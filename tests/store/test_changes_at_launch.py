"""A launch with --set goes on by itself: the store's grid has what was typed."""

from pathlib import Path

import pytest

from hpc_xfer import launch, status
from hpc_xfer.errors import StudyError
from hpc_xfer.store.launched_study import (
    load_in_store,
    other_changes,
    prepare_store,
    read_launched,
)
from hpc_xfer.store.rehearsal_store import NewRehearsals, load_last_rehearsal
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.rehearsal import rehearsal_of

GRID = "name: x\npretrain: [{method: scratch, arch: RN50}]\n"


def launched(folder: Path, *changes: str) -> tuple[Path, Store, list[str]]:
    """Launch a grid as far as the store knows; return the ids of its runs too."""
    grid, store = folder / "a.yaml", Store(folder / "store")
    grid.write_text(GRID)
    study = load_in_store(grid, store, changes, is_launch=True)
    plan = make_plan(study)
    prepare_store(study, plan, store)
    return grid, store, [run.id for run in plan.runs]


def test_jobs_and_later_commands_have_the_runs_that_were_launched(tmp_path: Path) -> None:
    grid, store, ids = launched(tmp_path, "pretrain.0.seed=[3, 4]")
    _, plan = read_launched(store, "x")
    assert [run.id for run in plan.runs] == ids and len(ids) == 2
    later = load_in_store(grid, store)
    assert [run.id for run in make_plan(later).runs] == ids
    assert later.changes == ("pretrain.0.seed=[3, 4]",)


def test_another_change_that_is_typed_counts_alone(tmp_path: Path) -> None:
    grid, store, _ = launched(tmp_path, "pretrain.0.seed=[3, 4]")
    assert len(load_in_store(grid, store, ["pretrain.0.seed=5"]).pretrains) == 1
    plain = load_in_store(grid, store, (), is_launch=True)
    assert (len(plain.pretrains), plain.changes) == (1, ())


def test_a_variant_with_a_name_of_its_own_is_found_by_its_name(tmp_path: Path) -> None:
    grid, store, ids = launched(tmp_path, "name=y", "pretrain.0.seed=[3, 4]")
    later = load_in_store(grid, store, ["name=y"])
    assert [run.id for run in make_plan(later).runs] == ids
    assert load_in_store(grid, store).changes == ()


def test_another_launch_says_what_the_last_one_had(tmp_path: Path) -> None:
    grid, store, _ = launched(tmp_path, "pretrain.0.seed=[3, 4]")
    assert list(other_changes(load_in_store(grid, store, (), is_launch=True), store)) == [
        "note: the last launch of this study had --set 'pretrain.0.seed=[3, 4]'; add it to go on "
        "with that one"
    ]
    same = load_in_store(grid, store, ["pretrain.0.seed=[3,4]"])
    assert list(other_changes(same, store)) == []
    plain = load_in_store(grid, store, (), is_launch=True)
    prepare_store(plain, make_plan(plain), store)
    assert load_in_store(grid, store).changes == ()


def test_a_rehearsal_keeps_what_was_typed_for_it(tmp_path: Path) -> None:
    grid, store = tmp_path / "a.yaml", Store(tmp_path / "store")
    grid.write_text(GRID)
    store.root.mkdir()
    study = rehearsal_of(load_in_store(grid, store, ["pretrain.0.seed=[3, 4]"]))
    plan = make_plan(study)
    prepare_store(study, plan, NewRehearsals().make(store))
    found, _ = load_last_rehearsal(load_in_store(grid, store), store)
    assert [run.id for run in make_plan(found).runs] == [run.id for run in plan.runs]


def test_a_dry_run_shows_the_changed_plan_and_status_names_the_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, store, _ = launched(tmp_path, "pretrain.0.seed=[3, 4]")
    where = [str(grid), "--store", str(store.root)]
    assert (
        launch.main(
            [*where, "--on", "local", "--dry-run", "--json", "--set", "pretrain.0.seed=[1, 2, 3]"]
        )
        == 0
    )
    assert '"runs": 3' in capsys.readouterr().out
    assert status.main([*where, "--json"]) == 0
    assert '"missing": 2' in capsys.readouterr().out
    with pytest.raises(StudyError, match=r"^--set pretrain\.0\.sed=1: unknown key; did you mean"):
        launch.main([*where, "--on", "local", "--dry-run", "--set", "pretrain.0.sed=1"])
