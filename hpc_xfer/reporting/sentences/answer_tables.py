"""The answer tables of a study, read back from their CSVs; a table that is not there is empty."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, Variance
from hpc_xfer.results.tables import csv_files

T = TypeVar("T")


@dataclass(frozen=True)
class AnswerTables:
    """The rows that sentences are made from."""

    gaps: tuple[Gap, ...] = ()
    scaling: tuple[Scaling, ...] = ()
    ranks: tuple[Rank, ...] = ()
    variance: tuple[Variance, ...] = ()


def read_answers(files: Mapping[str, Path]) -> AnswerTables:
    """Read the answer tables of a study.

    Args:
        files: CSV by name of the table.

    Raises:
        StoreError: a table lacks a column.
    """
    return AnswerTables(
        gaps=_rows(Gap, files.get("gaps")),
        scaling=_rows(Scaling, files.get("scaling")),
        ranks=_rows(Rank, files.get("ranks")),
        variance=_rows(Variance, files.get("variance")),
    )


def _rows(kind: type[T], path: Path | None) -> tuple[T, ...]:
    if path is None or not path.exists():
        return ()
    return tuple(csv_files.typed(kind, row) for row in csv_files.read(path))
