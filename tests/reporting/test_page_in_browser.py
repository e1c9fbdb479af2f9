"""report.html in a real Chromium: sorting, filtering, phone, print."""

import json
from pathlib import Path

import pytest

from hpc_xfer.reporting import report_page
from hpc_xfer.results import collect_tables
from hpc_xfer.results.answers.rows import Gap, table_of
from hpc_xfer.results.tables import csv_files
from tests.fabricated import GRID, make, record_all
from tests.reporting.answer_rows import gap
from tests.reporting.chromium import Chromium, chromium

HOSTILE = "<img src=x onerror=document.title=1>"
SHOTS = ("1", "5", "10", "20", "full")
# The table of pairs, its rows that are shown, and the texts of one of its columns.
PAIRS = """
const box = document.querySelector("#gaps").closest("section").querySelector("[data-table]");
const headers = [...box.querySelectorAll("thead th")];
const header = (title) => headers.find((each) => each.textContent === title);
const column = (title) => [...box.querySelectorAll("tbody tr:not([hidden])")].map(
  (row) => row.cells[headers.indexOf(header(title))].textContent);
const click = (title) => header(title).querySelector("button").click();
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with many pairs, of which one has no interval, and 200 missing runs, folded."""
    grid = GRID.replace("[1, full]", json.dumps([1, 5, 10, 20, "full"])).replace(
        "[8000, ", "[4000, 8000, "
    )
    study, plan, store = make(tmp_path_factory.mktemp("study"), grid)
    finished = [run for run in plan.runs if run.spec.get("draw") != 2]
    record_all(store, finished)
    home = store.study(study.name)
    collect_tables.collect(plan, store, home.summary)
    pairs = [
        gap("clip wit", f"clip sans {n}k", n - 9.5, n - 12.0, n - 7.0, shots=shots, axis="samples")
        for n, shots in enumerate(SHOTS * 3, start=4)
    ]
    pairs[3] = gap("clip wit", HOSTILE, 100.0, None, None, shots="5", axis="source")
    csv_files.write(home.summary / "gaps.csv", *table_of(Gap, pairs))
    return report_page.write(study, home)


@pytest.fixture
def browser(tmp_path: Path) -> Chromium:
    return chromium(tmp_path)


def test_a_click_on_a_header_sorts_by_number_and_the_missing_come_last(
    page: Path, browser: Chromium
) -> None:
    up, down, back, original, states = browser.ask(
        page,
        PAIRS
        + """
        const title = "95% interval", original = column(title), found = [], states = [];
        for (let i = 0; i < 3; i++) {
          click(title);
          found.push(column(title));
          states.push(header(title).getAttribute("aria-sort"));
        }
        return [...found, original, states];
        """,
    )
    numbers = sorted((text for text in original if text != "—"), key=lambda t: float(t.split()[0]))
    assert len(numbers) == 14 and "-8.0 to -3.0" in numbers
    assert up == [*numbers, "—"]
    assert down == [*reversed(numbers), "—"]
    assert back == original
    assert states == ["ascending", "descending", "none"]


def test_shots_sort_as_numbers_with_full_data_last(page: Path, browser: Chromium) -> None:
    shots = browser.ask(page, PAIRS + 'click("shots"); return column("shots");')
    assert shots == sorted(shots, key=lambda name: float("inf") if name == "full" else int(name))


def test_a_header_is_reached_and_pressed_by_keyboard(page: Path, browser: Chromium) -> None:
    """A real button: the browser turns Enter and space into clicks."""
    focused, name, states = browser.ask(
        page,
        PAIRS
        + """
        const pressed = header("a minus b").querySelector("button");
        pressed.focus();
        pressed.click();
        return [document.activeElement === pressed && pressed.tagName,
                pressed.getAttribute("aria-label"),
                headers.map((each) => each.getAttribute("aria-sort"))];
        """,
    )
    assert focused == "BUTTON" and name == "sort by a minus b"
    assert states.count("ascending") == 1 and states.count("none") == len(states) - 1


def test_words_and_choices_filter_the_rows(page: Path, browser: Chromium) -> None:
    words, choice, both, count, options, images, title = browser.ask(
        page,
        PAIRS
        + """
        const [input] = box.querySelectorAll("input");
        const selects = [...box.querySelectorAll("select")];
        const shots = selects.find((each) => each.parentElement.textContent.startsWith("shots"));
        const type = (text) => { input.value = text; input.dispatchEvent(new Event("input")); };
        type("13K  wit");
        const words = column("b");
        type("");
        shots.value = "=full";
        shots.dispatchEvent(new Event("change"));
        const choice = column("b");
        type("18k");
        return [words, choice, column("b"), box.querySelector("[role=status]").textContent,
                [...shots.options].map((each) => each.textContent),
                box.querySelectorAll("img").length, document.title];
        """,
    )
    assert words == ["clip sans 13k"]
    assert choice == ["clip sans 8k", "clip sans 13k", "clip sans 18k"]
    assert (both, count) == (["clip sans 18k"], "1 of 15 rows")
    assert options == ["all", *SHOTS]
    assert (images, title) == (0, "tiny")  # a hostile label stays text


def test_a_phone_scrolls_tables_and_never_the_page(page: Path, browser: Chromium) -> None:
    width, needed, wide = browser.ask(
        page,
        """
        for (const details of document.querySelectorAll("details")) details.open = true;
        const boxes = [...document.querySelectorAll(".wide")];
        return [innerWidth, document.documentElement.scrollWidth,
                boxes.filter((box) => box.scrollWidth > box.clientWidth).length];
        """,
        width=400,
    )
    assert needed <= width == 400
    assert wide > 0


def test_folded_parts_are_printed(page: Path, browser: Chromium, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<details><summary>" in text
    opened, none = tmp_path / "opened.html", tmp_path / "none.html"
    opened.write_text(text.replace("<details>", "<details open>"))
    none.write_text(text.replace("<details>", '<details style="display:none">'))
    pages = browser.pages_on_paper(page)
    assert pages == browser.pages_on_paper(opened) > browser.pages_on_paper(none)


def test_what_was_folded_is_folded_again_after_print(page: Path, browser: Chromium) -> None:
    before, during, after = browser.ask(
        page,
        """
        const folded = () => document.querySelectorAll("details:not([open])").length;
        const counts = [folded()];
        for (const event of ["beforeprint", "afterprint"]) {
          dispatchEvent(new Event(event));
          counts.push(folded());
        }
        return counts;
        """,
    )
    assert before == after > 0 == during


def test_without_a_script_every_row_is_there_and_nothing_pretends_to_work(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    body = text[: text.index("<script>")]
    assert all(f">clip sans {n}k</td>" in body for n in range(4, 19) if n != 7)
    assert "<button" not in body and "<input" not in body and "<select" not in body
