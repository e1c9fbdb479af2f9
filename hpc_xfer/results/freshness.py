"""Tell whether the tables and the report of a study contain all of its results."""

from hpc_xfer.results import collect_tables, csv_files
from hpc_xfer.store.launched_study import LaunchedStudy


def is_report_current(launched: LaunchedStudy) -> bool:
    """True if tables and report exist, miss no run, and are newer than every record.

    Call it only when all runs of the study are done.
    """
    folder = launched.store.study(launched.study.name)
    tables = [folder.summary / f"{name}.csv" for name in collect_tables.TABLES]
    if not all(path.exists() for path in (*tables, folder.report)):
        return False
    if csv_files.read(folder.summary / "missing.csv"):
        return False
    records = (launched.store.run(run.id).record for run in launched.plan.runs)
    oldest = min(path.stat().st_mtime for path in (*tables, folder.report))
    return all(record.stat().st_mtime <= oldest for record in records)
