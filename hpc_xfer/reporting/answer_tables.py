"""The answer tables of a study, read back from their CSVs; a table that is not there is empty."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, SelectionBias, Variance
from hpc_xfer.results.tables import csv_files

T = TypeVar("T")
_TABLES = ("gaps", "scaling", "ranks", "variance", "selection")


@dataclass(frozen=True)
class AnswerTables:
    """The rows of all answer tables."""

    gaps: tuple[Gap, ...]
    scaling: tuple[Scaling, ...]
    ranks: tuple[Rank, ...]
    variance: tuple[Variance, ...]
    selection: tuple[SelectionBias, ...]
    absent: frozenset[str]  # tables without a file: an older version wrote the study folder


def answer_files(summary: Path) -> dict[str, Path]:
    """Name the CSV of each answer table in the summary folder of a study."""
    return {name: summary / f"{name}.csv" for name in _TABLES}


def read_answers(files: Mapping[str, Path]) -> AnswerTables:
    """Read the answer tables of a study.

    Args:
        files: CSV by name of the table.

    Raises:
        StoreError: a table lacks a column.
    """
    there = {name: files[name] for name in _TABLES if name in files and files[name].exists()}
    return AnswerTables(
        gaps=_rows(Gap, there.get("gaps")),
        scaling=_rows(Scaling, there.get("scaling")),
        ranks=_rows(Rank, there.get("ranks")),
        variance=_rows(Variance, there.get("variance")),
        selection=_rows(SelectionBias, there.get("selection")),
        absent=frozenset(_TABLES) - there.keys(),
    )


def _rows(kind: type[T], path: Path | None) -> tuple[T, ...]:
    rows = () if path is None else csv_files.read(path)
    return tuple(csv_files.typed(kind, row) for row in rows)
