import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from hpc_xfer import report
from hpc_xfer.errors import StoreError
from hpc_xfer.reporting import findings, report_page
from hpc_xfer.results import collect_tables
from hpc_xfer.results.averages import read_averages
from hpc_xfer.results.collect_tables import Collected
from hpc_xfer.results.csv_files import read
from hpc_xfer.results.paired_differences import paired_differences
from hpc_xfer.results.scores import read_scores
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.study_file import Study
from tests.fabricated import GRID, ONE_CELL, failure, make, record, record_all, trials

SMALL = GRID.replace("[8000, 16000]", "8000").replace("[digits, mnist]", "[digits]")


def collected(study: Study, plan: Plan, store: Store) -> Collected:
    return collect_tables.collect(plan, store, store.study(study.name).summary)


def written(study: Study, plan: Plan, store: Store) -> str:
    collected(study, plan, store)
    return report_page.write(study, store.study(study.name)).read_text(encoding="utf-8")


def shown(found: Collected) -> str:
    text = io.StringIO()
    findings.show(Console(width=120, file=text, highlight=False), found)
    return text.getvalue()


def accuracies(
    plan: Plan, store: Store, scratch: tuple[float, ...], clip: tuple[float, ...]
) -> None:
    """One test accuracy per draw, whatever the shots."""
    record_all(store, plan.of("pretrain"))
    for run in trials(plan):
        values = scratch if run.columns["method"] == "scratch" else clip
        record(store, run, test_top1=values[run.spec["draw"]], val_top1=0.5)


def test_a_finished_study_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path)
    record_all(store, plan.runs)
    html = written(study, plan, store)
    assert "Does pre-training help?" in html
    assert "75 of 75 runs finished" in html
    assert html.count("data:image/svg+xml;base64,") == 3
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "<script" not in html and "Missing</h2>" not in html


def test_a_study_without_a_result_says_so(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path)
    html = written(study, plan, store)
    assert "No cell is complete yet, so there is no answer." in html
    assert "0 of 75 runs finished" in html
    assert "<figure>" not in html


def test_a_question_cannot_smuggle_markup_into_the_page(tmp_path: Path) -> None:
    grid = ONE_CELL.replace("name: one", 'name: one\nquestion: "<script>alert(1)</script> & co"')
    study, plan, store = make(tmp_path, grid)
    failure(store, plan.runs[0], message="<img src=x onerror=alert(1)>")
    html = written(study, plan, store)
    assert "<script" not in html and "<img src=x" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_values_chosen_at_the_end_of_the_grid_are_flagged(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    for i, run in enumerate(plan.runs):
        record(store, run, val_top1=0.1 * i)
    html = written(study, plan, store)
    assert "1 of 1 cells chose the high end of the grid; larger values may do better" in html


def test_missing_cells_are_listed_and_starred(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    record_all(store, plan.runs[:-1])
    html = written(study, plan, store)
    assert "1 cells missing" in html
    assert "1 of 2 trials finished" in html
    assert re.search(r"<td>\d+\.\d ±\d+\.\d\*</td>", html)


def test_test_sets_of_different_sizes_are_reported(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    record_all(store, plan.runs)
    assert "sets of different sizes" not in written(study, plan, store)
    for run in plan.runs[-2:]:  # the trials of one cell
        record(store, run, n_test=10)
    assert "digits: the runs were tested on sets of different sizes" in written(study, plan, store)


def test_a_report_before_collect_names_the_way_out(tmp_path: Path) -> None:
    study, _, store = make(tmp_path)
    with pytest.raises(StoreError, match=r"runs\.csv: not found; run `python -m hpc_xfer"):
        report_page.write(study, store.study(study.name))


def test_the_report_needs_the_tables_and_not_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    html = written(study, plan, store)
    (store.root / "runs").rename(tmp_path / "elsewhere")
    assert report.main([str(study.path), "--store", str(store.root)]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page.read_text(encoding="utf-8") == html


def test_gains_are_paired_by_draw(tmp_path: Path) -> None:
    """The draws differ by 20 points, the gain by one: unpaired, its interval would include 0."""
    study, plan, store = make(tmp_path, SMALL)
    accuracies(plan, store, scratch=(0.3, 0.4, 0.5), clip=(0.4, 0.51, 0.6))
    found = collected(study, plan, store)
    differences = paired_differences(read_scores(read(found.files["cells"])), found.averages)
    assert [gain.label for gain in differences] == ["clip sans 8k"] * 2
    interval = differences[0].interval
    assert interval is not None
    assert interval.mean == pytest.approx(0.31 / 3)
    assert interval.half == pytest.approx(4.3027 * 0.0057735 / 3**0.5, rel=1e-4)


def test_averages_read_back_are_those_that_were_written(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path)
    record_all(store, plan.runs[:-1])
    found = collected(study, plan, store)
    again = read_averages(read(found.files["averages"]))
    assert [average.row for average in again] == [average.row for average in found.averages]


def test_the_answer_in_the_terminal_reads_like_this(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    accuracies(plan, store, scratch=(0.3, 0.4, 0.5), clip=(0.4, 0.51, 0.6))
    text = shown(collected(study, plan, store))
    assert "digits, ft: test accuracy (%)" in text
    assert re.search(r"clip sans 8k │ 50\.3 ±24\.9 │", text)
    sentence = " ".join(text[text.index("digits, ft: with") :].split())
    assert sentence == (
        "digits, ft: with 1 shot, clip sans 8k beats scratch by 10.3 points (95% interval 8.9 to "
        "11.8, 3 draws); with full data, clip sans 8k beats scratch by 10.3 points (95% interval "
        "8.9 to 11.8, 3 draws)."
    )


def test_scratch_can_win_and_an_unclear_difference_is_called_so(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    accuracies(plan, store, scratch=(0.3, 0.4, 0.5), clip=(0.2, 0.31, 0.4))
    assert "scratch beats clip sans 8k by 9.7 points" in shown(collected(study, plan, store))
    accuracies(plan, store, scratch=(0.3, 0.4, 0.5), clip=(0.4, 0.3, 0.5))
    text = shown(collected(study, plan, store))
    assert "clip sans 8k and scratch do not differ clearly (+0.0 points" in text


def test_a_study_without_scratch_has_no_sentence_about_it(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    assert "scratch" not in shown(collected(study, plan, store))


def test_a_page_of_a_study_without_any_choice_is_written(tmp_path: Path) -> None:
    """Stopped before a probe was done: no penalty was chosen, so its histogram is empty."""
    study, plan, store = make(
        tmp_path, ONE_CELL.replace("tune: {lr:", "mode: [ft, lp], tune: {lr:")
    )
    record(store, plan.runs[0])
    assert "l2" in written(study, plan, store)
