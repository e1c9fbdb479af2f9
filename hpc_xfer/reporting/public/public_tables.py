"""The tables of a study without what names machines, people and places."""

from pathlib import Path

from hpc_xfer.results.parts.local_paths import hidden
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.retry_policy import RULES

# A list, so that a table of a later version is published only when somebody has looked at it.
_TABLES = (
    "runs", "cells", "averages", "gaps", "scaling", "ranks", "variance", "selection", "missing",
)  # fmt: skip
_PRIVATE = frozenset(("host",))  # columns
_OWN = frozenset(RULES) | {"", "BadRecord", "NotConverged", "NoCommonValue", "TestSetChanged"}


def write_public_tables(summary: Path, out: Path) -> None:
    """Write the tables of `summary` to `out`; set_aside.csv, a list of files, is left out.

    Raises:
        StoreError: a table is damaged, or `out` cannot be written.
    """
    for name in _TABLES:
        path = summary / f"{name}.csv"
        if path.exists():
            rows = csv_files.read(path)
            columns = [column for column in csv_files.columns(path) if column not in _PRIVATE]
            public = _missing_row if name == "missing" else _row
            csv_files.write(out / path.name, columns, map(public, rows))


def _row(row: csv_files.Row) -> dict[str, object]:
    return {name: hidden(text) for name, text in row.items() if name not in _PRIVATE}


def _missing_row(row: csv_files.Row) -> dict[str, object]:
    """Keep the class of a failure; its message was written by a program on some machine."""
    failed = row["kind"] != "cell" and row["state"] == "failed"
    known = row["class"] if row["class"] in _OWN else "other"
    return {**_row(row), "class": known, "message": "" if failed else hidden(row["message"])}
