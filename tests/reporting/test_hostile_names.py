"""Names that look like markup are shown as text, wherever they come from."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hpc_xfer.reporting import report_page
from hpc_xfer.results import collect_tables
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.study.study_file import Study
from tests.fabricated import GRID, failure, make, record_all

HOSTILE = (
    "<script>alert(1)</script>", "</style></title>", "'\" onload=\"x&lt;\n<b>",
    "{{ 7*7 }}{% raw %}",
)  # fmt: skip
# Every column that holds text; the others are read as numbers.
TEXT = (
    "run", "kind", "label", "parent", "method", "arch", "source", "dataset", "mode", "draw",
    "pretrain_seed", "lr_edge", "state", "class", "message", "over", "commit", "dirty",
    "torch", "gpu", "host", "restarts", "family", "at", "a", "b", "level_a", "level_b", "differs",
    "left_out", "why", "text", "series", "reference", "not_told_apart", "component", "tuned",
)  # fmt: skip
WITH_A_MEANING = (  # all other values are only shown
    "", "mean", "scratch", "cell", "pretrain", "finetune", "pair", "best-worst", "spread", "slope",
    "crossing", "labels",
)  # fmt: skip
SHOWN = (
    "one", "Why", "clip sans 8k", "digits", "ft", "failed", "nan", "at step 3", "high",
    "3f2c9aa", "false", "2.9.1", "A100", "node1",
)  # fmt: skip


class Page(HTMLParser):
    """The tags of a page with the names of their attributes, and its text.

    Two things follow from a name: `long`, from its length, and the number that it is sorted by.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.text = ""
        self.titles: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        float(values.pop("data-value", None) or 0)
        self.tags.append((tag, (values.get("class") or "").removesuffix(" long"), *values))
        if tag == "img":
            self.titles.append(values["alt"])

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(("end", tag))

    def handle_data(self, data: str) -> None:
        self.text += data


def collected(folder: Path) -> tuple[Study, StudyDir]:
    """A study with results, a failure, and cells that wait."""
    grid = GRID.replace("[8000, 16000]", "8000").replace("[digits, mnist]", "[digits]")
    grid = grid.replace("[1e-4, 1e-3]", "[1e-5, 1e-4, 1e-3]").replace("[1, full]", "[1]")
    study, plan, store = make(folder, grid)
    record_all(store, plan.runs[:-1])
    failure(store, plan.runs[-1])
    home = store.study(study.name)
    collect_tables.collect(plan, store, home.summary)
    return study, home


def add_to_every_text(home: StudyDir, words: str) -> None:
    for path in home.summary.iterdir():
        rows = csv_files.read(path)
        for row in rows:
            for column in row.keys() & set(TEXT):
                if row[column] not in WITH_A_MEANING:
                    row[column] += words
        if rows:
            csv_files.write(path, list(rows[0]), rows)


@pytest.mark.parametrize("words", HOSTILE)
def test_a_name_adds_no_tag_and_no_attribute(tmp_path: Path, words: str) -> None:
    study, home = collected(tmp_path)
    harmless = Page(report_page.write(study, home).read_text(encoding="utf-8"))
    add_to_every_text(home, words)
    hostile = replace(study, name=f"one{words}", question=f"Why{words}")
    page = Page(report_page.write(hostile, home).read_text(encoding="utf-8"))
    assert page.tags == harmless.tags
    assert all(words in (title or "") for title in page.titles)
    assert [name for name in SHOWN if name + words not in page.text] == []
