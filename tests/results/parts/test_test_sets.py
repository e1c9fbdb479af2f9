"""Results on different test images are never averaged, compared or chosen from together."""

import json
from pathlib import Path

from hpc_xfer.results.collect_tables import collect
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run
from hpc_xfer.system import atomic_files
from tests.fabricated import make, record, record_all, trials

GRID = """
name: one
pretrain:
  - {method: clip, arch: RN50, source: sans, samples: 8000, epochs: 1, batch: 100}
  - {method: scratch, arch: RN50}
finetune: {datasets: [digits], shots: [1], draws: 3, lr: 1e-3}
"""


def on(store: Store, run: Run, fingerprint: str, n_test: int | None = 899) -> None:
    """Let the record of a run say on which data it was tested."""
    path = store.run(run.id).record
    content = json.loads(path.read_text())
    content["provenance"]["data"] = {"dataset": fingerprint}
    content["metrics"]["n_test"] = n_test
    atomic_files.write_json(path, content)


def averages(plan: Plan, store: Store, folder: Path) -> list[tuple[str, str, str]]:
    collect(plan, store, folder)
    rows = csv_files.read(folder / "averages.csv")
    return [(row["label"], row["dataset"], row["n"]) for row in rows]


def test_runs_on_another_version_of_the_test_set_are_a_data_set_of_their_own(
    tmp_path: Path,
) -> None:
    _, plan, store = make(tmp_path, GRID)
    record_all(store, plan.runs)
    for run in trials(plan):
        on(store, run, ("b" if run.columns["method"] == "scratch" else "a") * 64)
    assert averages(plan, store, tmp_path) == [
        ("clip sans 8k", "digits (data aaaaaaaa)", "3"),
        ("scratch", "digits (data bbbbbbbb)", "3"),
    ]
    assert csv_files.read(tmp_path / "gaps.csv") == []


def test_equal_fingerprints_are_one_data_set(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, GRID)
    record_all(store, plan.runs)
    for run in trials(plan):
        on(store, run, "a" * 64)
    assert {dataset for _, dataset, _ in averages(plan, store, tmp_path)} == {"digits"}
    assert len(csv_files.read(tmp_path / "gaps.csv")) == 1


def test_a_record_without_a_fingerprint_is_told_apart_by_the_number_of_images(
    tmp_path: Path,
) -> None:
    _, plan, store = make(tmp_path, GRID)
    record_all(store, plan.runs)
    first = trials(plan)[0]
    on(store, first, "", n_test=100)
    found = {dataset for _, dataset, _ in averages(plan, store, tmp_path)}
    assert found == {
        "digits (unknown data, 899 test images)", "digits (unknown data, 100 test images)",
    }  # fmt: skip


def test_a_record_that_lost_its_number_of_images_belongs_to_the_only_version(
    tmp_path: Path,
) -> None:
    _, plan, store = make(tmp_path, GRID)
    record_all(store, plan.runs)
    first, *others = trials(plan)
    on(store, first, "a" * 64, n_test=None)
    for run in others:
        on(store, run, "a" * 64)
    assert {dataset for _, dataset, _ in averages(plan, store, tmp_path)} == {"digits"}


def test_a_cell_whose_trials_saw_different_images_is_not_chosen_from(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, GRID.replace("lr: 1e-3", "tune: {lr: [1e-3, 1e-2]}"))
    record_all(store, plan.runs)
    for run in trials(plan):
        on(store, run, "a" * 64)
    changed = trials(plan, lambda recipe: recipe.draw == 0)[0]
    on(store, changed, "b" * 64)
    collect(plan, store, tmp_path)
    [missing] = csv_files.read(tmp_path / "missing.csv")
    assert (missing["class"], missing["draw"]) == ("TestSetChanged", "0")
    assert len(csv_files.read(tmp_path / "cells.csv")) == 5


def test_a_mean_takes_the_version_that_most_cells_were_tested_on(tmp_path: Path) -> None:
    grid = GRID.replace("[digits]", "[digits, mnist]")
    _, plan, store = make(tmp_path, grid)
    record_all(store, plan.runs)
    for run in trials(plan):
        on(store, run, ("a" if run.columns["draw"] == 0 else "b") * 64)
        if run.columns["dataset"] == "mnist":
            on(store, run, "c" * 64)
    collect(plan, store, tmp_path)
    rows = csv_files.read(tmp_path / "averages.csv")
    assert {row["left_out"] for row in rows if row["dataset"] == "mean"} == {
        "digits (data aaaaaaaa) (another version)"
    }


def test_a_draw_that_was_tested_on_another_version_is_filled_from_the_other_encoders(
    tmp_path: Path,
) -> None:
    _, plan, store = make(tmp_path, GRID)
    for run in plan.runs:
        top1 = 0.4 + 0.2 * (run.columns.get("draw") == 0)
        record(store, run, **({"test_top1": top1} if run.kind == "finetune" else {}))
    for run in trials(plan):
        lucky = run.columns["draw"] == 0 and run.columns["method"] == "clip"
        on(store, run, ("b" if lucky else "a") * 64)
    collect(plan, store, tmp_path)
    rows = csv_files.read(tmp_path / "averages.csv")
    found = {(row["label"], row["mean"]) for row in rows if "aaaa" in row["dataset"]}
    assert found == {("clip sans 8k", "0.466667"), ("scratch", "0.466667")}
