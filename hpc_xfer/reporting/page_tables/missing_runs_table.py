"""The table of runs and cells without a result, the gravest first."""

from collections.abc import Sequence

from hpc_xfer.reporting.page_tables.page_table import (
    PageColumn,
    PageTable,
    choice,
    page_table,
    text,
)
from hpc_xfer.results.tables.csv_files import Row
from hpc_xfer.study.state_words import MISSING_WORDS

MOST_MISSING = 200  # in the page; missing.csv has all


def missing_runs_table(rows: Sequence[Row]) -> PageTable:
    """Show the rows of missing.csv."""
    columns: tuple[PageColumn[Row], ...] = (
        text("run", lambda row: row["run"] or "cell"),
        choice("state", lambda row: row["state"]),
        text("label", lambda row: row["label"]),
        choice("data set", lambda row: row["dataset"]),
        choice("shots", lambda row: row["shots"]),
        text("draw", lambda row: row["draw"]),
        choice("mode", lambda row: row["mode"]),
        text("why", _why),
    )
    ordered = sorted(rows, key=_gravity)
    return page_table("Without a result", columns, ordered, most=MOST_MISSING)


def _why(row: Row) -> str:
    return ": ".join(part for part in (row["class"], row["message"]) if part)


def _gravity(row: Row) -> int:
    state = row["state"]
    return MISSING_WORDS.index(state) if state in MISSING_WORDS else len(MISSING_WORDS)
