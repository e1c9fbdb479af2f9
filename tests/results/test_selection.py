"""The choice: one value for all draws, by validation, from runs or from the path of a probe."""

from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.results.collect_tables import collect
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from tests.fabricated import make, record

HEAD = """
name: one
pretrain: [{method: clip, arch: RN50, source: sans, samples: 8000, epochs: 1, batch: 100}]
"""
DRAWS = HEAD + "finetune: {datasets: [digits], shots: [1], draws: 3, tune: {lr: [1e-3, 1e-2]}}\n"
PROBE = HEAD + "finetune: {datasets: [digits], shots: [1], draws: 2, mode: [lp], path: %s}\n"
THREE = PROBE % "{low: 0.01, high: 1, count: 3}"


def cells(plan: Plan, store: Store, folder: Path) -> list[dict[str, str]]:
    collect(plan, store, folder)
    return csv_files.read(folder / "cells.csv")


def told(plan: Plan, store: Store, val: dict[float, list[float]], **more: Any) -> None:
    """Write the records of all learning rates and draws: lr -> validation accuracy per draw."""
    record(store, plan.runs[0])
    for run in plan.of("finetune"):
        recipe = run.recipe
        top1 = val[recipe.lr][recipe.draw]  # type: ignore[union-attr]  # of ft
        record(store, run, val_top1=top1, **more)


def test_one_value_is_chosen_for_all_draws_by_its_mean(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, DRAWS)
    told(plan, store, {1e-3: [0.9, 0.1, 0.1], 1e-2: [0.4, 0.5, 0.6]})
    found = cells(plan, store, tmp_path)
    assert [cell["lr"] for cell in found] == ["0.01"] * 3
    assert {cell["chosen_over_draws"] for cell in found} == {"3"}


def test_each_draw_chooses_for_itself_where_the_study_says_so(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, DRAWS + "choose: per-draw\n")
    told(plan, store, {1e-3: [0.9, 0.1, 0.1], 1e-2: [0.4, 0.5, 0.6]})
    assert [cell["lr"] for cell in cells(plan, store, tmp_path)] == ["0.001", "0.01", "0.01"]


def test_no_test_column_changes_the_choice(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, DRAWS)
    val = {1e-3: [0.5, 0.5, 0.5], 1e-2: [0.4, 0.4, 0.4]}
    told(plan, store, val, test_top1=0.1)
    before = [cell["run"] for cell in cells(plan, store, tmp_path)]
    for run in plan.of("finetune"):
        if run.recipe.lr == 1e-2:  # type: ignore[union-attr]  # of ft
            record(store, run, val_top1=0.4, test_top1=0.99)
    assert [cell["run"] for cell in cells(plan, store, tmp_path)] == before


def test_a_probe_is_a_cell_with_its_path_inside(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, THREE)
    record(store, plan.runs[0])
    first, second = plan.of("finetune")
    record(store, first, val_top1=[0.2, 0.6, 0.5], test_top1=[0.1, 0.2, 0.3])
    record(store, second, val_top1=[0.2, 0.3, 0.5], test_top1=[0.4, 0.5, 0.6])
    found = cells(plan, store, tmp_path)
    assert [(cell["l2"], cell["l2_edge"]) for cell in found] == [("0.01", "low")] * 2
    assert [cell["test_top1"] for cell in found] == ["0.300000", "0.600000"]
    assert [cell["trials_planned"] for cell in found] == ["3", "3"]


def test_equal_accuracy_goes_to_the_lower_loss_then_to_the_larger_penalty(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, THREE)
    record(store, plan.runs[0])
    for run in plan.of("finetune"):
        record(store, run, val_top1=[0.5, 0.5, 0.5], val_nll=[0.9, 0.8, 0.8])
    assert {cell["l2"] for cell in cells(plan, store, tmp_path)} == {"0.1"}


def test_a_value_that_did_not_converge_is_told_and_never_chosen(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, THREE)
    record(store, plan.runs[0])
    first, second = plan.of("finetune")
    record(store, first, val_top1=[0.2, 0.6, 0.9], converged=[True, True, False])
    record(store, second, val_top1=[0.2, 0.6, 0.9])
    found = cells(plan, store, tmp_path)
    assert [cell["l2"] for cell in found] == ["0.1", "0.1"]
    assert [cell["not_converged"] for cell in found] == ["1", "0"]


def test_a_probe_that_never_converged_is_listed_as_missing(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, THREE)
    record(store, plan.runs[0])
    first, second = plan.of("finetune")
    record(store, first, converged=[False] * 3)
    record(store, second)
    assert len(cells(plan, store, tmp_path)) == 1
    [missing] = csv_files.read(tmp_path / "missing.csv")
    assert (missing["class"], missing["draw"]) == ("NotConverged", "0")


def test_settings_that_are_not_tuned_make_other_cells(tmp_path: Path) -> None:
    block = "{datasets: [digits], shots: [1], draws: 1, tune: {lr: [1e-3, 1e-2]}, head: %s}"
    text = HEAD + f"finetune:\n  - {block % 'auto'}\n  - {block % 'zero'}\n"
    _, plan, store = make(tmp_path, text)
    for run in plan.runs:
        record(store, run)
    found = cells(plan, store, tmp_path)
    assert [cell["mode"] for cell in found] == ["ft head=auto", "ft head=zero"]
    assert [cell["trials_planned"] for cell in found] == ["2", "2"]


@pytest.mark.parametrize("setting", ["epochs: {}0", "weight_decay: 0.{}"])
def test_a_setting_that_could_be_tuned_but_is_not_makes_other_cells(
    tmp_path: Path, setting: str
) -> None:
    block = "{{datasets: [digits], shots: [1], draws: 2, tune: {{lr: [1e-3, 1e-2]}}, {}}}"
    text = HEAD + "finetune:\n" + "".join(f"  - {block.format(setting.format(n))}\n" for n in "12")
    _, plan, store = make(tmp_path, text)
    for run in plan.runs:
        record(store, run)
    name, first = setting.format(1).split(": ")
    found = cells(plan, store, tmp_path)
    assert [cell["trials_planned"] for cell in found] == ["2"] * 4  # not 4, nor 2 of them lost
    assert [(cell["mode"], cell[name]) for cell in found[:2]] == [(f"ft {name}={first}", first)] * 2
    means = csv_files.read(tmp_path / "averages.csv")
    assert [(row["n"], name in row) for row in means] == [("2", True)] * 2


@pytest.mark.parametrize("fixed", ["mode: [lp], l2: 0.1", "mode: [knn], k: 5"])
def test_a_probe_of_one_value_has_no_grid_to_be_at_the_edge_of(tmp_path: Path, fixed: str) -> None:
    text = HEAD + f"finetune: {{datasets: [digits], shots: [1], draws: 1, {fixed}}}\n"
    _, plan, store = make(tmp_path, text)
    for run in plan.runs:
        record(store, run)
    [cell] = cells(plan, store, tmp_path)
    assert not any(name.endswith("_edge") for name in cell)


@pytest.mark.parametrize("solvers", [("logistic", "ridge")])
def test_solvers_are_told_apart_by_name(tmp_path: Path, solvers: tuple[str, str]) -> None:
    block = "{datasets: [digits], shots: [1], draws: 1, mode: [lp], solver: %s}"
    text = HEAD + "finetune:\n" + "".join(f"  - {block % solver}\n" for solver in solvers)
    _, plan, store = make(tmp_path, text)
    for run in plan.runs:
        record(store, run)
    assert [c["mode"] for c in cells(plan, store, tmp_path)] == ["lp logistic", "lp ridge"]


def test_the_paper_protocol_chooses_on_test_and_reports_its_bias(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, DRAWS.replace("draws: 3", "draws: 1") + "protocol: paper\n")
    record(store, plan.runs[0])
    low, high = plan.of("finetune")
    record(store, low, val_top1_by_val=0.7, test_top1=0.60, test_top1_by_val=0.55)
    record(store, high, val_top1_by_val=0.6, test_top1=0.65, test_top1_by_val=0.50)
    [cell] = cells(plan, store, tmp_path)
    assert (cell["lr"], cell["test_top1"], cell["protocol"]) == ("0.01", "0.650000", "paper")
    assert cell["test_selection_bias"] == "0.100000"
    assert cell["mode"] == "ft (paper protocol: chosen on test)"


def test_labels_that_were_used_are_in_every_table(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, THREE)
    record(store, plan.runs[0])
    for run in plan.of("finetune"):
        record(store, run, labels=20, classes=10)
    collect(plan, store, tmp_path)
    for name in ("runs", "cells", "averages"):
        rows = csv_files.read(tmp_path / f"{name}.csv")
        assert rows[-1]["labels"] == "20", name
