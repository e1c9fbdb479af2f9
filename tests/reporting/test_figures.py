from pathlib import Path

from hpc_xfer.reporting import figures
from hpc_xfer.reporting.figure_data import shot_order
from hpc_xfer.results import collect_tables
from tests.fabricated import GRID, ONE_CELL, make, record_all


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_study_with_scratch_and_two_sizes_has_three_figures(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, GRID.replace("[digits, mnist]", "[digits]"))
    record_all(store, plan.runs)
    folder = store.study("tiny")
    collect_tables.collect(plan, store, folder.summary)
    drawn = figures.draw(folder.summary, folder.figures)
    first = {path: path.read_bytes() for path in folder.figures.iterdir()}
    assert names(folder.figures) == [
        "accuracy_ft.png", "accuracy_ft.svg", "gain_ft.png", "gain_ft.svg",
        "size_ft_clip-sans.png", "size_ft_clip-sans.svg",
    ]  # fmt: skip
    assert drawn[0].title == "Accuracy over shots (ft)"
    assert not any("hollow" in figure.caption for figure in drawn)
    figures.draw(folder.summary, folder.figures)
    assert {path: path.read_bytes() for path in folder.figures.iterdir()} == first


def test_without_scratch_and_sizes_there_is_accuracy_alone(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    folder = store.study("one")
    collect_tables.collect(plan, store, folder.summary)
    figures.draw(folder.summary, folder.figures)
    assert names(folder.figures) == ["accuracy_ft.png", "accuracy_ft.svg"]


def test_a_figure_of_what_is_partly_there_says_so(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, GRID.replace("[1, full]", "[1]"))
    record_all(store, plan.runs[:-1])
    folder = store.study("tiny")
    collect_tables.collect(plan, store, folder.summary)
    drawn = figures.draw(folder.summary, folder.figures)
    assert "A hollow point averages fewer cells than planned" in drawn[0].caption


def test_shots_are_in_the_order_of_their_number_and_full_is_last() -> None:
    assert sorted(["full", "10", "5", "1"], key=shot_order) == ["1", "5", "10", "full"]


def test_a_dollar_in_a_name_is_drawn_as_it_is(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    folder = store.study("one")
    collect_tables.collect(plan, store, folder.summary)
    path = folder.summary / "averages.csv"
    path.write_text(path.read_text().replace("digits", r"$\frac$"))
    assert len(figures.draw(folder.summary, folder.figures)) == 1
