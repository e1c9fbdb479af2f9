"""The CSV files of a study: fixed columns, fixed decimals, the same rows give the same bytes.

An empty cell is a number that was not measured; it is never 0.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hpc_xfer.errors import StoreError
from hpc_xfer.system import atomic_files

Row = Mapping[str, str]


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Whole or absent; a column that a row lacks is an empty cell.

    Raises:
        StoreError: the folder cannot be written.
        ValueError: a row has a column that the table has not.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    atomic_files.write_text(path, text.getvalue())


def read(path: Path) -> list[dict[str, str]]:
    """The rows in the order of the file.

    Raises:
        StoreError: there is no such table yet.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise StoreError(
            f"{path}: is not there; run `python -m hpc_xfer.collect` on the grid first"
        ) from None


def cell(value: object) -> str:
    """One cell: None is empty, True is true, a setting such as 0.0003 stays as it was written."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def fixed(value: float | None, decimals: int = 6) -> str:
    """A measured number with fixed decimals; None is empty."""
    return "" if value is None else f"{value:.{decimals}f}"


def number(text: str) -> float | None:
    """A cell read back; empty is None."""
    return float(text) if text else None
