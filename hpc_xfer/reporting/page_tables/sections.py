"""The sections of the page that are tables alone: a CSV each, left out where it has no rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.reporting.page_tables.answer_tables import (
    rank_table,
    scaling_tables,
    selection_table,
    variance_table,
)
from hpc_xfer.reporting.page_tables.gap_tables import pair_table, range_table
from hpc_xfer.reporting.page_tables.page_table import PageTable, page_table, text
from hpc_xfer.reporting.sentences.answer_tables import read_answers
from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, SelectionBias, Variance
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Row

MOST_SET_ASIDE = 200
_UPRIGHT = 12  # columns
_TABLES = ("gaps", "scaling", "ranks", "variance", "selection")


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


@dataclass(frozen=True)
class PageRows:
    """The rows of the answer tables, and the tables that an older study folder lacks."""

    gaps: tuple[Gap, ...]
    scaling: tuple[Scaling, ...]
    ranks: tuple[Rank, ...]
    variance: tuple[Variance, ...]
    selection: tuple[SelectionBias, ...]
    absent: frozenset[str]


def read_page_rows(summary: Path) -> PageRows:
    """Read the answer tables of a study.

    Raises:
        StoreError: a table lacks a column.
    """
    files = {name: summary / f"{name}.csv" for name in _TABLES}
    known = read_answers(files)
    chosen = csv_files.read(files["selection"]) if files["selection"].exists() else []
    return PageRows(
        gaps=known.gaps,
        scaling=known.scaling,
        ranks=known.ranks,
        variance=known.variance,
        selection=tuple(csv_files.typed(SelectionBias, row) for row in chosen),
        absent=frozenset(name for name, path in files.items() if not path.exists()),
    )


def sections(rows: PageRows) -> list[Section]:
    """List the sections between the figures and the choices of validation."""
    parts: tuple[tuple[str, str, str, Sequence[PageTable]], ...] = (
        ("ranges", "Best minus worst, and spread", "gaps", [range_table(rows.gaps)]),
        ("gaps", "Gaps between pairs", "gaps", [pair_table(rows.gaps)]),
        ("scaling", "Scaling with samples and labels", "scaling", scaling_tables(rows.scaling)),
        ("ranks", "Ranks over data sets", "ranks", [rank_table(rows.ranks)]),
        ("variance", "More draws or more seeds?", "variance", [variance_table(rows.variance)]),
    )
    return [_section(*part, rows.absent) for part in parts]


def selection_section(rows: PageRows) -> Section:
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
