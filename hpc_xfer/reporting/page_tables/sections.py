"""The sections of the page that are tables alone: a CSV each, left out where it has no rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.reporting.page_tables.answer_tables import (
    rank_table,
    scaling_tables,
    selection_table,
    variance_table,
)
from hpc_xfer.reporting.page_tables.gap_tables import pair_table, range_table
from hpc_xfer.reporting.page_tables.page_table import PageTable, page_table, text
from hpc_xfer.results import csv_files
from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, Selection, Variance
from hpc_xfer.results.csv_files import Row

MOST_SET_ASIDE = 200


@dataclass(frozen=True)
class Section:
    """One section: its tables, or the CSV that is not there."""

    anchor: str
    title: str
    csv: str  # name of the file
    tables: tuple[PageTable, ...]
    absent: bool = False


def answer_rows(summary: Path) -> dict[str, list[Any] | None]:
    """Read the answer tables; None for one that an older study folder lacks.

    Raises:
        StoreError: a table lacks a column.
    """
    kinds = {
        "gaps": Gap, "scaling": Scaling, "ranks": Rank, "variance": Variance,
        "selection": Selection,
    }  # fmt: skip
    found: dict[str, list[Any] | None] = {}
    for name, kind in kinds.items():
        path = summary / f"{name}.csv"
        rows = csv_files.read(path) if path.exists() else None
        found[name] = None if rows is None else [csv_files.typed(kind, row) for row in rows]
    return found


def sections(answers: dict[str, list[Any] | None]) -> list[Section]:
    """List the sections between the figures and the pre-trainings."""
    makers: tuple[tuple[str, str, str, Callable[[Any], Sequence[PageTable]]], ...] = (
        ("ranges", "Best minus worst, and spread", "gaps", lambda rows: [range_table(rows)]),
        ("gaps", "Gaps between pairs", "gaps", lambda rows: [pair_table(rows)]),
        ("scaling", "Scaling with samples and labels", "scaling", scaling_tables),
        ("ranks", "Ranks over data sets", "ranks", lambda rows: [rank_table(rows)]),
        ("variance", "More draws or more seeds?", "variance", lambda rows: [variance_table(rows)]),
    )  # fmt: skip
    return [_section(*maker, answers[maker[2]]) for maker in makers]


def selection_section(answers: dict[str, list[Any] | None]) -> Section:
    """Make the table beside the histograms."""
    return _section(
        "chosen", "What validation chose", "selection",
        lambda rows: [selection_table(rows)], answers["selection"],
    )  # fmt: skip


def set_aside_table(summary: Path) -> PageTable | None:
    """Show the records that were set aside; None where collect set none aside."""
    path = summary / "set_aside.csv"
    rows = csv_files.read(path) if path.exists() else []
    if not rows:
        return None
    columns = [text(name.replace("_", " "), _reader(name)) for name in rows[0]]
    note = "They are broken, half-written, doubled or of no run of this study. No number uses them."
    return page_table("Records set aside", columns, rows, note, MOST_SET_ASIDE)


def _reader(name: str) -> Callable[[Row], str]:
    return lambda row: row[name] or ""


def _section(
    anchor: str,
    title: str,
    csv: str,
    make: Callable[[Any], Sequence[PageTable]],
    rows: list[Any] | None,
) -> Section:
    tables = tuple(table for table in make(rows) if table.rows) if rows else ()
    return Section(anchor, title, f"{csv}.csv", tables, absent=rows is None)
