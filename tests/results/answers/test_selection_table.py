"""selection.csv: the choice of validation against that of the test set."""

from typing import Any

import pytest

from hpc_xfer.results.answers.selection import grid_text, selection_rows

Cells = list[dict[str, str]]


def cell(label: str = "clip", mode: str = "ft", shots: str = "5", **more: Any) -> dict[str, str]:
    """A row of cells.csv in which four learning rates were tried."""
    row = {
        "label": label,
        "mode": mode,
        "dataset": "digits",
        "shots": shots,
        "trials_planned": "4",
        "lr": "0.01",
        "lr_edge": "",
        "test_top1": "0.500000",
        "test_best_of_trials": "0.530000",
    }
    return row | {name: str(value) for name, value in more.items()}


def test_the_bias_is_what_a_choice_on_test_would_add() -> None:
    (row,) = selection_rows([cell(), cell(test_top1=0.3, test_best_of_trials=0.31)], ["lr"])
    assert (row.mode, row.dataset, row.shots, row.tuned) == ("ft", "digits", "5", "lr")
    assert (row.cells, row.trials, row.differs) == (2, 4, "")
    assert (row.chosen, row.best, row.bias) == pytest.approx((0.4, 0.42, 0.02))


def test_choices_at_the_ends_of_the_grid_are_counted() -> None:
    ends = ["low", "high", "high", ""]
    (row,) = selection_rows([cell(lr_edge=end) for end in ends], ["lr"])
    assert (row.low, row.high) == (1, 2)


def test_each_mode_shots_and_setting_has_its_row() -> None:
    rows = [cell(), cell(shots="20"), cell(mode="lp", lr="", l2=0.1, l2_edge="low")]
    found = selection_rows([*rows, cell(weight_decay=0.1)], ["lr", "l2", "weight_decay"])
    assert [(row.mode, row.shots, row.tuned, row.cells, row.low) for row in found] == [
        ("ft", "5", "lr", 2, 0),
        ("ft", "20", "lr", 1, 0),
        ("lp", "5", "l2", 1, 1),
        ("ft", "5", "weight_decay", 1, 0),
    ]


def test_one_trial_is_no_choice() -> None:
    assert selection_rows([cell(trials_planned=1)], ["lr"]) == []


def test_a_label_with_another_number_of_values_is_named() -> None:
    cells = [cell(), cell("simclr"), cell("scratch", trials_planned=6)]
    (row,) = selection_rows(cells, ["lr"])
    assert (row.trials, row.differs) == (4, "scratch (6 values)")


def test_a_label_with_other_values_is_named_where_the_cells_tell_them() -> None:
    low, high = grid_text([1e-4, 1e-3]), grid_text([1e-3, 1e-2])
    cells = [cell(lr_grid=low), cell("simclr", lr_grid=low), cell("scratch", lr_grid=high)]
    (row,) = selection_rows(cells, ["lr"])
    assert row.differs == "scratch (0.001, 0.01)"


def test_a_setting_that_has_a_value_and_no_grid_was_not_chosen() -> None:
    probe = cell(mode="lp", lr_grid="", l2=0.1, l2_edge="", l2_grid="0.1, 1")
    assert [row.tuned for row in selection_rows([probe], ["lr", "l2"])] == ["l2"]


def test_under_the_paper_protocol_the_reported_value_is_the_best() -> None:
    paper = cell(protocol="paper", test_best_of_trials=0.5, test_selection_bias=0.04)
    (row,) = selection_rows([paper], ["lr"])
    assert (row.chosen, row.best, row.bias) == pytest.approx((0.46, 0.5, 0.04))
    assert selection_rows([paper | {"test_selection_bias": ""}], ["lr"]) == []


def test_a_grid_is_named_by_its_values_or_its_ends() -> None:
    assert grid_text([0.01, 1e-5, 0.001]) == "1e-05, 0.001, 0.01"
    assert grid_text([10.0**n for n in range(-8, 3)]) == "1e-08 to 100 (11 values)"
