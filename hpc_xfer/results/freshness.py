"""Tell whether the tables and the report of a study contain all of its results."""

import os
from collections.abc import Mapping
from pathlib import Path

from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.table_names import TABLES
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.finished.run_folders import RunFolder, run_folders
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.system import atomic_files


def of_older_version(summary: Path) -> bool:
    """True where an older version wrote the tables: some are not there, or lack columns."""
    averages = summary / "averages.csv"
    if not os.path.exists(averages):
        return False
    if not all((summary / f"{name}.csv").exists() for name in TABLES):
        return True
    try:
        text = atomic_files.read_bytes(averages, follow=True).decode()
    except (OSError, ValueError):
        return True  # written anew
    return not {"target", "images_low"} <= set(text.partition("\n")[0].strip().split(","))


def is_report_current(launched: LaunchedStudy, before: FinishedRuns | None = None) -> bool:
    """True if tables and report exist, miss no run, and are newer than every record and import.

    Call it only when all runs of the study are done.

    Args:
        before: a look at the finished runs a moment ago, used if it found all.
    """
    look = before and before.if_all(launched.plan.runs)
    try:
        return _is_newest(launched, look.folders if look else run_folders(launched.store))
    except OSError:  # a file of another user, or one that is gone: collecting says which
        return False


def _is_newest(launched: LaunchedStudy, folders: Mapping[str, RunFolder]) -> bool:
    folder = launched.store.study(launched.study.name)
    tables = [folder.summary / f"{name}.csv" for name in TABLES]
    if not all(path.exists() for path in (*tables, folder.report)):
        return False
    if of_older_version(folder.summary) or csv_files.read(folder.summary / "missing.csv"):
        return False
    oldest = min(path.stat().st_mtime for path in (*tables, folder.report))
    inputs = _records_in_newer_folders(launched, folders, oldest)
    if folder.imported.exists():  # the folder itself changes when a file is removed
        inputs += [folder.imported, *folder.imported.glob("*.csv")]
    return all(path.stat().st_mtime <= oldest for path in inputs)


def _records_in_newer_folders(
    launched: LaunchedStudy, folders: Mapping[str, RunFolder], time: float
) -> list[Path]:
    """List the records that may be newer: one that is written changes its folder, too."""
    return [
        launched.store.run(run.id).record
        for run in launched.plan.runs
        if run.id not in folders or folders[run.id].modified_ns > time * 1e9
    ]
