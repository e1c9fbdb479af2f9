"""The sections of the page that are tables alone: a CSV each, left out where it has no rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.reporting.answer_tables import AnswerTables
from hpc_xfer.reporting.page_tables.answer_tables import (
    rank_table,
    scaling_tables,
    selection_table,
    variance_table,
)
from hpc_xfer.reporting.page_tables.gap_tables import pair_table, range_table
from hpc_xfer.reporting.page_tables.page_table import PageTable, page_table, text
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Row

MOST_SET_ASIDE = 200
_UPRIGHT = 12  # columns


@dataclass(frozen=True)
class Section:
    """One section: its tables, or the CSV that is not there."""

    anchor: str
    title: str
    csv: str  # name of the file
    tables: tuple[PageTable, ...]
    absent: bool = False

    @property
    def broad(self) -> bool:
        """True if a table has more columns than fit on upright paper."""
        return any(len(table.columns) > _UPRIGHT for table in self.tables)


def sections(rows: AnswerTables) -> list[Section]:
    """List the sections between the figures and the choices of validation."""
    parts: tuple[tuple[str, str, str, Sequence[PageTable]], ...] = (
        ("ranges", "Best minus worst, and spread", "gaps", [range_table(rows.gaps)]),
        ("gaps", "Gaps between pairs", "gaps", [pair_table(rows.gaps)]),
        ("scaling", "Scaling with samples and labels", "scaling", scaling_tables(rows.scaling)),
        ("ranks", "Ranks over data sets", "ranks", [rank_table(rows.ranks)]),
        ("variance", "More draws or more seeds?", "variance", [variance_table(rows.variance)]),
    )
    return [_section(*part, rows.absent) for part in parts]


def selection_section(rows: AnswerTables) -> Section:
    """Make the table beside the histograms."""
    tables = [selection_table(rows.selection)]
    return _section("chosen", "What validation chose", "selection", tables, rows.absent)


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
    anchor: str, title: str, csv: str, tables: Sequence[PageTable], absent: frozenset[str]
) -> Section:
    """Keep the tables that have rows."""
    filled = tuple(table for table in tables if table.rows)
    return Section(anchor, title, f"{csv}.csv", filled, absent=csv in absent)
