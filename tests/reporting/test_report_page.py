import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from hpc_xfer import report
from hpc_xfer.errors import StoreError
from hpc_xfer.reporting import report_page
from hpc_xfer.reporting.figures import FigureFile
from hpc_xfer.reporting.report_page import MOST_SVG, page_figures
from hpc_xfer.results import collect_tables
from hpc_xfer.results.averages import read_averages
from hpc_xfer.results.collect_tables import Collected
from hpc_xfer.results.tables.csv_files import read
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.study_file import Study
from tests.fabricated import GRID, ONE_CELL, failure, make, record, record_all

SMALL = GRID.replace("[8000, 16000]", "8000").replace("[digits, mnist]", "[digits]")


def collected(study: Study, plan: Plan, store: Store) -> Collected:
    return collect_tables.collect(plan, store, store.study(study.name).summary)


def written(study: Study, plan: Plan, store: Store) -> str:
    collected(study, plan, store)
    return report_page.write(study, store.study(study.name)).read_text(encoding="utf-8")


def test_a_finished_study_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path)
    record_all(store, plan.runs)
    html = written(study, plan, store)
    assert "Does pre-training help?" in html
    assert "75 of 75 runs finished" in html
    home = store.study(study.name).path
    links = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', html)
    assert "summary/gaps.csv" in links and "figures/accuracy_ft.png" in links
    assert [link for link in links if link[0] != "#" and not (home / unquote(link)).is_file()] == []
    assert {link[1:] for link in links if link[0] == "#"} <= set(re.findall(r'id="([^"]*)"', html))
    assert html.count("<script") == 1 and "Missing</h2>" not in html


def test_a_study_without_a_result_says_so(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path)
    html = written(study, plan, store)
    assert "No cell is complete yet, so there is no answer." in html
    assert "0 of 75 runs finished" in html
    assert "<figure>" not in html


@pytest.mark.parametrize("stand_ins", [False, True])
def test_the_page_of_a_rehearsal_says_that_its_numbers_answer_nothing(
    tmp_path: Path, stand_ins: bool
) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    assert "rehearsal" not in written(study, plan, store)
    html = written(replace(study, rehearsal=True, stand_ins=stand_ins), plan, store)
    data = " on tiny stand-ins for its data" if stand_ins else ""
    assert f"This is a rehearsal: two steps per training{data}. Its numbers show that" in html


def test_a_question_cannot_smuggle_markup_into_the_page(tmp_path: Path) -> None:
    grid = ONE_CELL.replace("name: one", 'name: one\nquestion: "<script>alert(1)</script> & co"')
    study, plan, store = make(tmp_path, grid)
    failure(store, plan.runs[0], message="<img src=x onerror=alert(1)>")
    html = written(study, plan, store)
    assert html.count("<script") == 1 and "<img src=x" not in html  # the script is ours
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
    assert "1 cell missing" in html
    assert "1 of 2 trials finished" in html
    assert re.search(r"<td[^>]*>\d+\.\d( ±\d+\.\d)?\*", html)


def test_test_sets_of_different_sizes_are_reported(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    record_all(store, plan.runs)
    assert "different sets of images" not in written(study, plan, store)
    for run in plan.runs[-2:]:  # the trials of one cell
        record(store, run, n_test=10)
    assert "digits: the runs were tested on different sets of images" in written(study, plan, store)


def test_a_record_that_lost_its_number_of_test_images_is_no_other_test_set(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    record_all(store, plan.runs)
    path = store.run(plan.runs[-1].id).record
    content = json.loads(path.read_text())
    del content["metrics"]["n_test"]
    path.write_text(json.dumps(content))
    html = written(study, plan, store)
    assert "different sets of images" not in html and "(digits 899 images)" in html


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


def test_averages_read_back_are_those_that_were_written(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path)
    record_all(store, plan.runs[:-1])
    found = collected(study, plan, store)
    again = read_averages(read(found.files["averages"]))
    assert [average.row for average in again] == [average.row for average in found.averages]


def test_a_page_of_a_study_without_any_choice_is_written(tmp_path: Path) -> None:
    """Stopped before a probe was done: no penalty was chosen, so its histogram is empty."""
    study, plan, store = make(
        tmp_path, ONE_CELL.replace("tune: {lr:", "mode: [ft, lp], tune: {lr:")
    )
    record(store, plan.runs[0])
    assert "l2" in written(study, plan, store)


def figure(folder: Path, svg_bytes: int) -> FigureFile:
    """A figure on disk, without its PDF; a space and a # are in its name."""
    paths = {kind: folder / "figures" / f"a #1.{kind}" for kind in ("png", "svg", "pdf", "csv")}
    paths["png"].parent.mkdir(exist_ok=True)
    paths["svg"].write_bytes(b" " * svg_bytes)
    paths["png"].write_bytes(b"png")
    paths["csv"].write_bytes(b"csv")
    return FigureFile(title="a", caption="", question="Which is the best?", **paths)


def test_figures_that_are_too_large_as_svg_are_shown_as_png(tmp_path: Path) -> None:
    (small,) = page_figures([figure(tmp_path, svg_bytes=3)], tmp_path)
    assert small.image == "data:image/svg+xml;base64,ICAg"
    (large,) = page_figures([figure(tmp_path, svg_bytes=MOST_SVG + 1)], tmp_path)
    assert large.image == "data:image/png;base64,cG5n"


def test_a_figure_links_to_the_files_that_are_there(tmp_path: Path) -> None:
    (found,) = page_figures([figure(tmp_path, svg_bytes=3)], tmp_path)
    assert found.links == {
        "PNG": "figures/a%20%231.png", "SVG": "figures/a%20%231.svg", "CSV": "figures/a%20%231.csv"
    }  # fmt: skip


def test_figures_of_an_earlier_report_do_not_stay_beside_the_new_ones(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path)
    record_all(store, plan.runs)
    written(study, plan, store)
    figures = store.study(study.name).figures
    (figures / "my_notes.png").write_bytes(b"of the user")
    before = sorted(path.name for path in figures.iterdir())
    for run in plan.of("finetune"):
        if run.columns["method"] == "scratch":
            store.run(run.id).record.unlink()
    written(study, plan, store)
    after = sorted(path.name for path in figures.iterdir())
    assert "gain_ft.png" in before
    assert "gain_ft.png" not in after
    assert "my_notes.png" in after
