import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from hpc_xfer.reporting import findings
from hpc_xfer.results.answers.rows import Gap, table_of
from hpc_xfer.results.collect_tables import Collected
from hpc_xfer.results.tables import csv_files
from tests.reporting.answer_rows import average, gap

STUDY = Collected(
    planned=4, finished=4, failed=0, blocked=0, not_run=0, cells=3, cells_complete=3,
    averages=(average("clip", 50.0, 3.2), average("scratch", 40.0)), files={},
)  # fmt: skip


def shown(found: Collected, note: str = "") -> str:
    text = io.StringIO()
    findings.show(Console(width=120, file=text, highlight=False), found, note)
    return text.getvalue()


def with_gaps(folder: Path, *gaps: Gap) -> Collected:
    path = folder / "gaps.csv"
    csv_files.write(path, *table_of(Gap, gaps))
    return replace(STUDY, files={"gaps": path})


def test_the_answer_in_the_terminal_reads_like_this(tmp_path: Path) -> None:
    text = shown(with_gaps(tmp_path, gap("clip", "scratch", 10.3, 8.9, 11.8, axis="scratch")))
    assert "digits, ft: test accuracy (%)" in text
    assert "clip    │ 50.0 ±3.2 │" in text and "scratch │      40.0 │" in text
    assert " ".join(text[text.index("Does") :].split()) == (
        "Does pre-training help at all, and how many labels does it save? - With 5 shots (ft, "
        "digits), clip beats training from scratch by 10.3 points (95% interval 8.9 to 11.8; 3 "
        "draws, 1 seed; for this one pre-training of each)."
    )


def test_rows_read_back_from_their_file_say_what_was_written(tmp_path: Path) -> None:
    row = gap("clip", "scratch", 3.2, None, None, axis="scratch", shots="1")
    text = " ".join(shown(with_gaps(tmp_path, row)).split())
    assert "nothing can be said of clip against training from scratch: one draw, no" in text


def test_a_study_without_the_tables_of_answers_still_shows_its_accuracies() -> None:
    text = " ".join(shown(STUDY).split())
    assert "clip │ 50.0 ±3.2" in text
    assert "What can be said? - Nothing can be compared" in text


def test_missing_cells_are_counted_last() -> None:
    text = shown(replace(STUDY, cells=1_200))
    assert text.rstrip().endswith("1,197 of 1,200 cells are missing; see missing.csv")


def test_names_with_square_brackets_are_shown_as_they_are() -> None:
    text = shown(replace(STUDY, averages=(average("clip [bold]", 50.0, dataset="a[red]b"),)))
    assert "clip [bold]" in text and "a[red]b, ft" in text


def test_what_the_numbers_are_worth_stands_before_the_answers(tmp_path: Path) -> None:
    row = gap("clip", "scratch", 10.3, 8.9, 11.8, axis="scratch")
    text = shown(with_gaps(tmp_path, row), "This is a rehearsal.")
    assert "\nThis is a rehearsal.\n\nDoes pre-training help at all" in text


def test_one_missing_cell_is_missing() -> None:
    assert "1 of 3 cells is missing; see" in shown(replace(STUDY, cells_complete=2))
