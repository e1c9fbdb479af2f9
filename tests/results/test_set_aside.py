"""Files in the folders of planned runs that cannot be used are listed, and change nothing else."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer import collect as command
from hpc_xfer.results.collect_tables import collect
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run
from tests.fabricated import GRID, ONE_CELL, make, record, record_all

Damage = Callable[[Store, Run, Run], None]
OVER = "chosen_over_draws"


def listed(plan: Plan, store: Store, out: Path) -> dict[str, str]:
    """Path -> reason."""
    found = collect(plan, store, out)
    path = out / "set_aside.csv"
    assert path.exists() == ("set_aside" in found.files) == (found.set_aside > 0)
    return {row["path"]: row["why"] for row in csv_files.read(path)} if path.exists() else {}


def rewritten(store: Store, run: Run, **changes: object) -> None:
    path = store.run(run.id).record
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(store: Store, run: Run, other: Run) -> None:
    path = store.run(run.id).record
    path.write_text(path.read_text()[:200])


def of_another_run(store: Store, run: Run, other: Run) -> None:
    shutil.copy(store.run(other.id).record, store.run(run.id).record)


def with_another_recipe(store: Store, run: Run, other: Run) -> None:
    rewritten(store, run, recipe=other.spec)


def of_a_later_version(store: Store, run: Run, other: Run) -> None:
    rewritten(store, run, schema=2)


def without_metrics(store: Store, run: Run, other: Run) -> None:
    store.run(run.id).record.write_text("[]")


def in_percent(store: Store, run: Run, other: Run) -> None:
    metrics = json.loads(store.run(run.id).record.read_text())["metrics"]
    rewritten(store, run, metrics=metrics | {"test_top1": 65.2})


@pytest.mark.parametrize(
    ("damage", "why", "state"),
    [
        (cut, "is not whole JSON", "not run"),
        (of_another_run, "is the record of another run", "not run"),
        (with_another_recipe, "holds another recipe", "failed"),
        (of_a_later_version, "has schema 2, and this version reads 1", "failed"),
        (without_metrics, "is not a record", "not run"),
        (in_percent, "has test_top1 outside 0 to 1", "failed"),
    ],
)
def test_a_record_that_cannot_be_used_is_set_aside(
    tmp_path: Path, damage: Damage, why: str, state: str
) -> None:
    """`failed` needs a person: launches take such a run for finished."""
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    *_, other, run = plan.runs
    damage(store, run, other)
    found = listed(plan, store, tmp_path / "out")
    assert list(found) == [f"runs/{run.id}/record.json"]
    assert found[f"runs/{run.id}/record.json"].startswith(why)
    absent = csv_files.read(tmp_path / "out/missing.csv")[0]
    assert (absent["run"], absent["state"]) == (run.id, state)


@pytest.mark.parametrize(
    "name", ["record (1).json", "record.json.bak", ".record.json.4711.0f.tmp", "record.json~"]
)
def test_a_copy_beside_a_record_is_listed_and_never_read(tmp_path: Path, name: str) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    folder = store.run(plan.runs[-1].id)
    text = folder.record.read_text().replace('"test_top1": 0.', '"test_top1": 0.9')
    (folder.path / name).write_text(text)
    collect(plan, store, tmp_path / "with")
    (folder.path / name).unlink()
    collect(plan, store, tmp_path / "without")
    assert csv_files.read(tmp_path / "with/set_aside.csv") == [
        {"path": f"runs/{folder.id}/{name}", "why": "is a copy beside record.json"}
    ]
    (tmp_path / "with/set_aside.csv").unlink()
    assert tables(tmp_path / "with") == tables(tmp_path / "without")


def test_hits_that_do_not_fit_their_record_are_listed(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    for run in plan.of("finetune"):
        record(store, run, test_top1=0.5, n_test=16)
        np.save(store.run(run.id).hits, np.array([0b11111110, 0], dtype=np.uint8))
    [(path, why)] = listed(plan, store, tmp_path / "out").items()
    assert path.endswith("/hits.npy")
    assert why == "does not add up to the accuracy in its record"


def test_the_list_goes_away_with_its_last_file(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    cut(store, plan.runs[-1], plan.runs[-2])
    assert listed(plan, store, tmp_path / "out")
    record(store, plan.runs[-1])
    assert listed(plan, store, tmp_path / "out") == {}


def test_the_command_says_how_many_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    cut(store, plan.runs[-1], plan.runs[-2])
    command.main([str(tmp_path / "grid.yaml"), "--store", str(store.root)])
    assert "files set aside  1, listed in set_aside.csv" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("choose", "over"), [("pooled", "3"), ("per-draw", "")])
def test_a_quarter_missing_broken_or_doubled_changes_no_whole_cell(
    tmp_path: Path, seed: int, choose: str, over: str
) -> None:
    """With a pooled choice a cell is whole while all draws of its question are."""
    _, plan, store = make(tmp_path, f"{GRID}choose: {choose}\n")
    record_all(store, plan.runs)
    collect(plan, store, tmp_path / "whole")
    luck = random.Random(seed)
    trials = plan.of("finetune")
    for run in luck.sample(trials, len(trials) // 4):
        folder = store.run(run.id)
        damage = luck.choice(["missing", "broken", "doubled", "foreign"])
        if damage == "missing":
            folder.record.unlink()
        elif damage == "broken":
            cut(store, run, run)
        elif damage == "foreign":
            of_another_run(store, run, luck.choice([r for r in trials if r != run]))
        else:
            shutil.copy(folder.record, folder.path / "record (1).json")
    collect(plan, store, tmp_path / "damaged")
    before = (tmp_path / "whole/cells.csv").read_text().splitlines()
    after = (tmp_path / "damaged/cells.csv").read_text().splitlines()
    rows = csv_files.read(tmp_path / "damaged/cells.csv")
    whole = [line for row, line in zip(rows, after[1:], strict=True) if row.get(OVER, "") == over]
    assert before[0] == after[0] and 0 < len(whole) < len(before) - 1
    assert set(whole) <= set(before)


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
