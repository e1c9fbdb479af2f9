import csv
import itertools
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.errors import StoreError
from hpc_xfer.reporting import figures, latex_tables
from hpc_xfer.reporting.charts.accuracy import MOST_LINES, groups
from hpc_xfer.reporting.charts.cost import log_ticks
from hpc_xfer.reporting.charts.looks import COLORS, GRAY, Looks
from hpc_xfer.reporting.charts.words import file_name, without_common
from hpc_xfer.reporting.drawing.arrangement import fitting, spread_out, wrapped
from hpc_xfer.reporting.drawing.canvas import round_ticks
from hpc_xfer.reporting.figures import FigureFile
from hpc_xfer.results import collect_tables
from hpc_xfer.results.averages import read_averages
from hpc_xfer.results.tables import csv_files
from tests import answers
from tests.answers import LARGE, SMALL, Answers, encoder
from tests.fabricated import GRID, ONE_CELL, make, record_all

HOSTILE = r"$\frac$ <b>&amp;_%#~^{}\"" + "\n\u202e\u4e2d"
ONE_SET = Answers(encoders=SMALL.encoders, datasets={"digits": ("1", "full")}, modes=("lp",))


def drawn(folder: Path, study: Answers) -> list[FigureFile]:
    answers.write(folder / "summary", study)
    return figures.draw(folder / "summary", folder / "figures")


def rows(figure: FigureFile) -> list[dict[str, str]]:
    with open(figure.csv, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def named(found: list[FigureFile], name: str) -> FigureFile:
    [figure] = [figure for figure in found if figure.png.stem == name]
    return figure


def kind(figure: FigureFile) -> str:
    return figure.png.stem.partition("_")[0]


def colors_in(figure: FigureFile) -> set[str]:
    return set(re.findall(r"stroke: (#[0-9a-f]{6})", figure.svg.read_text(encoding="utf-8")))


def test_every_figure_is_there_in_all_forms(tmp_path: Path) -> None:
    found = drawn(tmp_path, SMALL)
    assert {*map(kind, found)} == {"accuracy", "size", "gain", "ranks", "cost"}
    for figure in found:
        assert figure.png.read_bytes().startswith(b"\x89PNG")
        assert figure.svg.read_bytes().startswith(b"<?xml")
        assert figure.pdf.read_bytes().startswith(b"%PDF")
        assert rows(figure)


def test_the_same_tables_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    drawn(tmp_path, ONE_SET)
    first = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    code = (
        "import sys; from pathlib import Path; from hpc_xfer.reporting import figures;"
        "figures.draw(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    again = tmp_path / "again"
    command = [sys.executable, "-c", code, str(tmp_path / "summary"), str(again)]
    subprocess.run(
        command, check=True, env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    )
    assert {path.name: path.read_bytes() for path in again.iterdir()} == first


def test_no_figure_tells_when_or_with_what_it_was_drawn(tmp_path: Path) -> None:
    for figure in drawn(tmp_path, ONE_SET):
        for path in (figure.png, figure.svg, figure.pdf):
            assert not re.search(rb"Matplotlib v|CreationDate|dc:date", path.read_bytes())


def test_fonts_of_a_pdf_are_true_type_as_publishers_ask(tmp_path: Path) -> None:
    figure = drawn(tmp_path, ONE_SET)[0]
    data = figure.pdf.read_bytes()
    assert b"/FontFile2" in data and b"/Type3" not in data


def test_the_csv_beside_a_figure_has_what_is_drawn(tmp_path: Path) -> None:
    figure = named(drawn(tmp_path, SMALL), "accuracy_lp")
    with open(tmp_path / "summary" / "averages.csv", newline="", encoding="utf-8") as file:
        averages = list(csv.DictReader(file))
    expected = {
        (row["dataset"], row["label"], row["shots"], f"{100 * float(row['mean']):.2f}",
         f"{100 * float(row['ci95_low']):.2f}")
        for row in averages
    }  # fmt: skip
    found = {
        (row["panel"].replace("mean of data sets", "mean"), row["line"], row["at"],
         f"{float(row['y']):.2f}", f"{float(row['low']):.2f}")
        for row in rows(figure)
    }  # fmt: skip
    assert found == expected


def test_a_data_set_that_lacks_shot_counts_keeps_its_line_and_its_own_axis(tmp_path: Path) -> None:
    found = drawn(tmp_path, SMALL)
    figure = named(found, "accuracy_lp")
    line = [r for r in rows(figure) if (r["panel"], r["line"]) == ("mnist", "scratch")]
    assert [row["at"] for row in line] == ["1", "full"]
    assert [round(float(row["x"])) for row in line] == [0, 1]
    other = [r for r in rows(figure) if (r["panel"], r["line"]) == ("digits", "scratch")]
    assert [row["at"] for row in other] == ["1", "5", "full"]


def test_a_source_has_one_color_in_all_figures_and_scratch_is_gray_and_dashed() -> None:
    looks = Looks(LARGE.encoders)
    by_source = {e.source: looks.of(e).color for e in LARGE.encoders if e.source}
    assert len(set(by_source.values())) == len(answers.SOURCES)
    for each in LARGE.encoders:
        if each.source:
            assert looks.of(each).color == by_source[each.source]
    scratch = looks.of(encoder("scratch"))
    assert scratch.color == GRAY and scratch.dash != "-"


def test_methods_differ_in_their_marker_and_sizes_in_their_lightness() -> None:
    looks = Looks(LARGE.encoders)
    clip, simclr = encoder("clip", "wit", 2_700_000), encoder("simclr", "wit", 2_700_000)
    assert looks.of(clip).marker != looks.of(simclr).marker
    sizes = [e for e in LARGE.encoders if e.source == "laion" and e.method == "clip"]
    assert len({look.color for look in looks.apart(sizes).values()}) == 4
    many = [encoder("clip", f"source{i}", 1000) for i in range(3 * len(COLORS))]
    found = Looks(many).apart(many)
    assert len({(look.color, look.marker) for look in found.values()}) == len(many)


def test_in_a_study_of_one_source_the_method_is_the_color() -> None:
    encoders = [encoder(name, "sans", 4000) for name in ("clip", "simclr")]
    looks = Looks(encoders)
    assert [looks.of(each).color for each in encoders] == [*COLORS[:2]]


def test_a_source_is_drawn_in_its_color_in_figures_of_every_kind(tmp_path: Path) -> None:
    for figure in drawn(tmp_path, ONE_SET):
        assert COLORS[0].lower() in colors_in(figure), figure.title  # sans
        assert COLORS[1].lower() in colors_in(figure), figure.title  # serif


def test_twenty_pretrainings_and_nine_data_sets_are_drawn_with_few_lines(tmp_path: Path) -> None:
    study = Answers(encoders=LARGE.encoders, datasets=LARGE.datasets, modes=("ft",))
    found = drawn(tmp_path, study)
    assert {*map(kind, found)} == {
        "accuracy", "range", "size", "curation", "methods", "gain", "ranks", "cost",
    }  # fmt: skip
    assert len(found) < 25
    for figure in found:
        if kind(figure) in ("accuracy", "gain", "curation"):
            for panel in {row["panel"] for row in rows(figure)}:
                lines = {row["line"] for row in rows(figure) if row["panel"] == panel}
                assert len(lines) <= MOST_LINES + 1
    lines = {r["line"] for f in found if kind(f) == "accuracy" for r in rows(f)}
    assert lines == {each.label for each in LARGE.encoders}


def test_the_title_has_the_question_and_the_mode(tmp_path: Path) -> None:
    for figure in drawn(tmp_path, SMALL):
        assert "?" in figure.title and "linear probe (lp)" in figure.title


def test_captions_say_what_the_bars_cover_and_what_an_interval_around_0_shows(
    tmp_path: Path,
) -> None:
    found = drawn(tmp_path, SMALL)
    covers = "other seeds of the pre-training and other draws of the images"
    assert covers in named(found, "accuracy_lp").caption
    gain = named(found, "gain_lp").caption
    assert "a probe of the untrained encoder" in gain
    assert "shows no difference at this precision" in gain
    one = Answers(SMALL.encoders, SMALL.datasets, SMALL.modes, seeds=1)
    again = named(drawn(tmp_path / "one", one), "accuracy_lp").caption
    assert "other draws of the images, for this one pre-training" in again


def test_without_a_table_its_figures_are_missing_and_the_others_are_drawn(tmp_path: Path) -> None:
    answers.write(tmp_path, SMALL)
    for name in ("gaps", "scaling", "ranks", "runs", "cells"):
        (tmp_path / f"{name}.csv").unlink()
    found = figures.draw(tmp_path, tmp_path / "figures")
    assert {*map(kind, found)} == {"accuracy", "size", "cost"}
    assert {row["kind"] for row in rows(found[1])} == {"measured", "reference"}
    with pytest.raises(StoreError, match=r"averages\.csv: not found"):
        figures.draw(tmp_path / "nothing", tmp_path / "figures")


def test_a_factor_that_an_earlier_version_rounded_to_0_is_left_out_of_its_figure(
    tmp_path: Path,
) -> None:
    answers.write(tmp_path, SMALL)
    table = csv_files.read(tmp_path / "scaling.csv")
    tiny = {"reference": "scratch", "value": "0.000000", "base": "2000000000"}
    crossings = [row | tiny for row in table if row["kind"] == "crossing"]
    assert crossings
    csv_files.write(tmp_path / "scaling.csv", [*table[0]], crossings)
    found = rows(named(figures.draw(tmp_path, tmp_path / "figures"), "size_lp"))
    assert {row["kind"] for row in found} == {"measured", "reference"}


def test_hostile_names_are_drawn_and_are_escaped_in_latex(tmp_path: Path) -> None:
    hostile = tuple(encoder("clip", f"{HOSTILE}{name}", 4000) for name in ("a", "b"))
    datasets = {HOSTILE: ("1", "full"), HOSTILE + "$": ("1", "full")}
    found = drawn(tmp_path, Answers((*hostile, encoder("scratch")), datasets, ("lp",)))
    assert {row["line"] for row in rows(found[0])} == {e.label for e in hostile} | {"scratch"}
    averages = read_averages(csv_files.read(tmp_path / "summary" / "averages.csv"))
    paths = latex_tables.write(averages, tmp_path)
    text = paths[0].read_text(encoding="utf-8")
    assert r"\$\textbackslash{}frac\$ \textless{}b\textgreater{}\&amp;\_\%\#" in text
    assert len(set(paths)) == 3


def test_latex_has_a_table_per_mode_and_data_set_with_intervals(tmp_path: Path) -> None:
    answers.write(tmp_path, SMALL)
    averages = read_averages(csv_files.read(tmp_path / "averages.csv"))
    paths = latex_tables.write(averages, tmp_path)
    assert [path.name for path in paths] == [
        "table_lp.tex", "table_lp_digits.tex", "table_lp_mnist.tex",
    ]  # fmt: skip
    text = paths[0].read_text(encoding="utf-8")
    assert r"Pre-training & 1 shot & 5 shots & full data \\" in text
    assert re.search(r"scratch & \d+\.\d \$\\pm\$ \d+\.\d & ", text)


def test_a_figure_of_what_is_partly_there_says_so(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, GRID.replace("[1, full]", "[1]"))
    record_all(store, plan.runs[:-1])
    folder = store.study("tiny")
    collect_tables.collect(plan, store, folder.summary)
    found = figures.draw(folder.summary, folder.figures)
    assert "A hollow point averages fewer cells than planned" in found[0].caption


def test_one_encoder_at_one_shot_count_is_drawn(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    folder = store.study("one")
    collect_tables.collect(plan, store, folder.summary)
    found = figures.draw(folder.summary, folder.figures)
    assert [figure.png.name for figure in found] == ["accuracy_ft.png"]
    assert "No interval can be given." in found[0].caption


def test_encoders_are_shared_out_by_method_and_size() -> None:
    found = groups(LARGE.encoders)
    assert [*found] == [
        "clip RN50 2.7M", "simclr RN50 2.7M", "supervised RN50 2.7M", "others",
    ]  # fmt: skip
    assert all(group[-1].method == "scratch" for group in found.values())
    assert [*groups(SMALL.encoders)] == [""]


def test_a_title_names_no_setting_that_the_method_brings_along() -> None:
    own = {"clip": "[0.9, 0.98]", "simclr": "[0.9, 0.999]", "supervised": "[0.9, 0.999]"}
    some = [
        replace(e, settings=(("pretrain_betas", own[e.method]), ("pretrain_batch", batch)))
        for e in LARGE.encoders
        if e.samples == 2_700_000
        for batch in (("512", "1024") if e.method == "clip" else ("1024",))
    ]
    assert [*groups(some)] == [
        "clip RN50 2.7M batch=512", "clip RN50 2.7M batch=1024", "simclr RN50 2.7M",
        "supervised RN50 2.7M",
    ]  # fmt: skip


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    places = spread_out([1.0, 1.0, 1.01, 3.0], gap=0.2, low=0.0, high=3.0)
    ordered = sorted(places)
    assert all(b - a > 0.2 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert places[3] == 3.0 and sum(places[:3]) / 3 == pytest.approx(1.0, abs=0.01)
    assert max(spread_out([2.9, 2.95, 3.0], gap=0.2, low=0.0, high=3.0)) <= 3.0


def test_a_long_name_is_cut_in_the_middle_and_a_long_title_is_wrapped() -> None:
    width = len  # a letter is one inch
    assert fitting("clip shutterstock 2.7M", 12, width) == "clip shu….7M"
    assert wrapped("one two three", 7, width) == ["one two", "three"]
    assert wrapped("abcdefgh", 5, width) == ["abc…h"]


def test_ticks_are_round_numbers() -> None:
    assert [name for _, name in round_ticks(0, 100, 4)] == ["0", "20", "40", "60", "80", "100"]
    assert [name for _, name in round_ticks(-9, 9, 4)] == ["\N{MINUS SIGN}5", "0", "5"]
    assert [name for _, name in round_ticks(0, 0.31, 4)] == ["0.0", "0.1", "0.2", "0.3"]
    assert [name for _, name in log_ticks([2e6, 9e8], counts=True)] == ["10M", "100M", "1B"]


def test_what_groups_have_in_common_is_said_once() -> None:
    common, short = without_common(["RN50, laion, 2.7M samples", "RN50, yfcc, 2.7M samples"])
    assert common == "RN50, 2.7M samples"
    assert [*short.values()] == ["laion", "yfcc"]


def test_names_of_files_hold_no_letter_that_a_file_system_may_refuse() -> None:
    assert file_name("size", "lp", "a/b c:$") == "size_lp_a-b-c"
    assert len(file_name("x" * 500)) < 100
    assert re.fullmatch(r"lp_[0-9a-f]{6}", file_name("lp", "$$$"))
