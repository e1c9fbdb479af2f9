import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer import collect
from hpc_xfer.results import collect_tables
from hpc_xfer.results.collect_tables import Collected
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.table_names import TABLES
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from tests.fabricated import GRID, ONE_CELL, failure, make, record, record_all, trials

Rows = list[dict[str, str]]


def collected(plan: Plan, store: Store) -> Collected:
    return collect_tables.collect(plan, store, store.root / "summary")


def rows(store: Store, name: str) -> Rows:
    return csv_files.read(store.root / "summary" / f"{name}.csv")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_empty_store_gives_tables_that_say_so(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path)
    found = collected(plan, store)
    assert (found.finished, found.not_run, found.blocked) == (0, 75, 0)
    assert (found.cells, found.cells_complete) == (36, 0)
    assert rows(store, "runs") == rows(store, "cells") == []
    assert {row["mean"] for row in rows(store, "averages")} == {""}
    assert {row["state"] for row in rows(store, "missing")} == {"not run"}


def test_records_written_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    results = []
    for seed in range(2):
        (folder := tmp_path / str(seed)).mkdir()
        _, plan, store = make(folder)
        shuffled = random.Random(seed).sample(plan.runs, len(plan.runs))
        record_all(store, shuffled)
        collected(plan, store)
        collected(plan, store)
        results.append(bytes_of(store.root / "summary"))
    assert results[0] == results[1]
    assert sorted(results[0]) == sorted(f"{name}.csv" for name in TABLES)


def test_validation_chooses_though_another_trial_is_better_on_the_test_set(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    parent, low, middle, high = plan.runs
    record(store, parent)
    record(store, low, val_top1=0.50, test_top1=0.60)
    record(store, middle, val_top1=0.70, test_top1=0.55)
    record(store, high, val_top1=0.60, test_top1=0.90)
    collected(plan, store)
    [cell] = rows(store, "cells")
    assert (cell["run"], cell["lr"], cell["lr_edge"]) == (middle.id, "0.001", "")
    assert (cell["test_top1"], cell["test_best_of_trials"]) == ("0.550000", "0.900000")
    assert cell["test_mean_of_trials"] == "0.683333"


def test_equal_validation_goes_to_the_smaller_learning_rate_and_the_edge_is_flagged(
    tmp_path: Path,
) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    for run in plan.runs:
        record(store, run, val_top1=0.5)
    collected(plan, store)
    [cell] = rows(store, "cells")
    assert (cell["lr"], cell["lr_edge"]) == ("0.0001", "low")


def test_a_grid_of_two_values_is_all_edge(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL.replace("[1e-4, 1e-3, 1e-2]", "[1e-4, 1e-3]"))
    record_all(store, plan.runs)
    collected(plan, store)
    assert [cell["lr_edge"] for cell in rows(store, "cells")] == ["high"]


def test_a_cell_that_lacks_a_trial_is_not_chosen_from_and_flags_its_average(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path)
    gone = trials(plan, lambda r: (r.dataset, r.shots, r.draw) == ("digits", "full", 1))[0]
    record_all(store, [run for run in plan.runs if run != gone])
    found = collected(plan, store)
    assert found.cells - found.cells_complete == 1
    absent, waiting = rows(store, "missing")
    assert (absent["run"], absent["state"], absent["kind"]) == (gone.id, "not run", "finetune")
    assert (waiting["run"], waiting["state"], waiting["kind"]) == ("", "incomplete", "cell")
    assert waiting["message"].startswith("1 of 2 trials finished")
    at = [
        r for r in rows(store, "averages") if (r["label"], r["shots"]) == (absent["label"], "full")
    ]
    assert [(r["dataset"], r["n"], r["missing"]) for r in at] == [
        ("digits", "2", "1"), ("mnist", "3", "0"), ("mean", "2", "1"),
    ]  # fmt: skip


def test_half_a_record_counts_as_none(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    path = store.run(plan.runs[-1].id).record
    path.write_text(path.read_text()[:100])
    found = collected(plan, store)
    assert (found.finished, found.not_run, found.cells_complete) == (3, 1, 0)


def test_a_record_with_a_number_that_json_has_not_counts_as_none(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    path = store.run(plan.runs[-1].id).record
    content = json.loads(path.read_text())
    content["metrics"]["val_top1"] = float("nan")
    path.write_text(json.dumps(content))
    found = collected(plan, store)
    assert (found.finished, found.not_run, found.set_aside) == (3, 1, 1)


@pytest.mark.parametrize("value", [None, "0.5"])
def test_a_record_without_validation_accuracy_counts_as_failed(
    tmp_path: Path, value: object
) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    path = store.run(plan.runs[-1].id).record
    content = json.loads(path.read_text())
    content["metrics"]["val_top1"] = value
    path.write_text(json.dumps(content))
    assert collected(plan, store).failed == 1
    first = rows(store, "missing")[0]
    assert (first["class"], "lacks val_top1" in first["message"]) == ("BadRecord", True)


def test_failures_and_what_they_block_are_listed_in_one_line_each(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    failure(store, plan.runs[0])
    found = collected(plan, store)
    assert (found.failed, found.blocked) == (1, 3)
    first, second = rows(store, "missing")[:2]
    assert (first["class"], first["message"]) == ("nan", "the loss is NaN at step 3")
    assert second["message"] == f"its parent {plan.runs[0].id} has no result"


def test_the_mean_of_data_sets_is_taken_within_each_draw_first(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path)
    record_all(store, plan.runs)
    for run in trials(plan, lambda r: r.shots == 1):
        draw, digits = run.spec["draw"], run.spec["dataset"] == "digits"
        record(store, run, val_top1=0.5, test_top1=0.3 + draw * (0.1 if digits else -0.1))
    collected(plan, store)
    row = next(r for r in rows(store, "averages") if r["dataset"] == "mean" and r["shots"] == "1")
    assert (row["mean"], row["std"], row["n"]) == ("0.300000", "0.000000", "3")
    assert row["over"] == "draws"


def test_with_several_seeds_the_interval_is_over_seeds_and_draws(tmp_path: Path) -> None:
    grid = ONE_CELL.replace("epochs: 1,", "epochs: 1, seed: [0, 1],").replace(
        "draws: 1", "draws: 3"
    )
    _, plan, store = make(tmp_path, grid)
    for run in plan.runs:
        top1 = 0.4 + 0.2 * run.columns["pretrain_seed"] + 0.1 * run.columns.get("draw", 0)
        record(store, run, test_top1=top1, val_top1=0.5)
    collected(plan, store)
    [row] = rows(store, "averages")
    assert (row["mean"], row["std"], row["n"]) == ("0.600000", "0.141421", "6")
    assert (row["over"], row["target"]) == ("seeds and draws", "E2")
    assert (row["seeds"], row["draws"]) == ("2", "3")


def test_one_draw_has_no_spread_and_no_zero(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    collected(plan, store)
    [row] = rows(store, "averages")
    assert (row["n"], row["std"], row["ci95_low"], row["ci95_high"]) == ("1", "", "", "")


def test_every_finished_run_has_its_recipe_and_where_it_ran(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    collected(plan, store)
    pretraining, trial = rows(store, "runs")[:2]
    assert (pretraining["samples_seen"], pretraining["measured_samples_seen"]) == ("8000", "8000")
    assert (trial["parent"], trial["label"]) == (plan.runs[0].id, "clip sans 8k")
    assert (trial["lr"], trial["pretrain_lr"], trial["seconds"]) == ("0.0001", "0.001", "1.900")
    assert (trial["host"], trial["dirty"], trial["torch"]) == ("node1", "false", "2.9.1")


def test_sizes_that_round_to_one_text_are_not_taken_for_seeds(tmp_path: Path) -> None:
    grid = GRID.replace("[8000, 16000]", "[2700000, 2701000]")
    _, plan, store = make(tmp_path, grid)
    labels = {average.label for average in collected(plan, store).averages}
    assert len(labels) == 3


def test_the_command_prints_counts_and_fails_only_for_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    call = [str(tmp_path / "grid.yaml"), "--store", str(store.root)]
    assert collect.main([*call, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["runs"] == {"planned": 4, "finished": 0, "failed": 0, "blocked": 0, "not_run": 4}
    failure(store, plan.runs[0])
    assert collect.main(call) == 1
    assert "cells complete  0 of 1" in capsys.readouterr().out
    assert (store.study("one").summary / "averages.csv").exists()


def test_help_starts_without_numpy_scipy_or_matplotlib() -> None:
    names = ("numpy", "scipy", "matplotlib", "torch", "pandas")
    block = f"import sys; sys.modules.update(dict.fromkeys({names!r}))\n"
    load = (
        "import hpc_xfer.collect, hpc_xfer.report; from hpc_xfer.reporting import figures, findings"
    )
    subprocess.run([sys.executable, "-c", block + load], check=True)


def test_a_trial_that_diverged_counts_as_the_worst_and_its_cell_is_complete(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    parent, low, middle, high = plan.runs
    record(store, parent)
    record(store, low, val_top1=0.50, test_top1=0.60)
    record(store, middle, val_top1=0.70, test_top1=0.50)
    failure(store, high)
    found = collected(plan, store)
    assert (found.cells_complete, found.failed) == (1, 1)
    [cell] = rows(store, "cells")
    assert (cell["run"], cell["lr_edge"]) == (middle.id, "")
    assert [cell[name] for name in ("trials", "diverged", "trials_planned")] == ["2", "1", "3"]
    assert (cell["test_mean_of_trials"], cell["test_best_of_trials"]) == ("0.550000", "0.600000")
    [absent] = rows(store, "missing")
    assert (absent["run"], absent["state"], absent["class"]) == (high.id, "failed", "nan")


def test_a_cell_whose_trials_all_diverged_is_missing_with_that_reason(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record(store, plan.runs[0])
    for run in plan.of("finetune"):
        failure(store, run)
    found = collected(plan, store)
    assert (found.cells_complete, found.failed) == (0, 3)
    *trials_, cell = rows(store, "missing")
    assert [row["state"] for row in trials_] == ["failed"] * 3
    assert [cell[name] for name in ("run", "kind", "state", "class", "message")] == [
        "", "cell", "failed", "nan", "all 3 trials diverged; tune over smaller learning rates",
    ]  # fmt: skip
    assert {row["missing"] for row in rows(store, "averages")} == {"1"}


def test_a_cell_waits_for_its_other_trials_though_one_diverged(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    parent, low, _, high = plan.runs
    record_all(store, [parent, low])
    failure(store, high)
    assert collected(plan, store).cells_complete == 0
    waiting = rows(store, "missing")[-1]
    assert (waiting["kind"], waiting["state"]) == ("cell", "incomplete")
    assert waiting["message"].startswith("2 of 3 trials finished")


def test_a_cell_waits_for_a_trial_that_failed_for_another_reason(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs[:3])
    path = store.run(plan.runs[3].id).error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"class": "data", "message": "broken"}))
    assert collected(plan, store).cells_complete == 0
