"""docs/tables.md and docs/statistics.md name every column of the tables that `collect` writes."""

import csv
import re
from pathlib import Path

import pytest

from hpc_xfer.results import collect_tables
from hpc_xfer.results.encoder_info import ENCODER_COLUMNS
from tests import fabricated, pages

SECTION = r"^### {name}\.csv\n(.*?)(?=^##|^<a)"
WHERE = {"mode", "dataset", "shots", *ENCODER_COLUMNS}


def documented(name: str) -> set[str]:
    """The columns in the table that a page has under the name of a file."""
    text = pages.text_of("docs/tables.md") + pages.text_of("docs/statistics.md")
    [section] = re.findall(SECTION.format(name=name), text, re.DOTALL | re.MULTILINE)
    first = re.findall(r"^\|([^|]*)\|", section, re.MULTILINE)
    return {column for cell in first for column in re.findall(r"`(\w+)`", cell)}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The columns of each table of a small study of which one run is missing."""
    _, plan, store = fabricated.make(tmp_path_factory.mktemp("columns"))
    fabricated.record_all(store, plan.runs[:-1])
    collect_tables.collect(plan, store, store.root / "summary")
    return {path.stem: columns(path) for path in (store.root / "summary").glob("*.csv")}


def columns(path: Path) -> set[str]:
    with path.open(newline="") as file:
        return set(next(csv.reader(file)))


@pytest.mark.parametrize(
    "name", ["averages", "gaps", "scaling", "ranks", "variance", "selection", "cells", "missing"]
)
def test_each_column_of_a_table_is_documented(name: str, tables: dict[str, set[str]]) -> None:
    cells = documented("cells") if name == "missing" else set()
    known = documented(name) | WHERE | cells | {"run", "kind"}
    ends = ("_edge", "_grid")  # of what is tuned
    own = {column for column in tables[name] if not column.endswith(ends)}
    assert own - known == set()


def test_the_page_has_no_column_that_no_answer_has(tables: dict[str, set[str]]) -> None:
    for name in ("gaps", "scaling", "ranks", "variance", "selection"):
        assert documented(name) <= tables[name], name
